//! [`classify`]: finds the class of a failed exchange among its causes.

use std::error::Error as StdError;
use std::io;

use super::dial::DialError;
use crate::outcome::ErrorClass;
use crate::transport::error::OwnFault;

/// Finds the class by the first cause that tells what happened; the outer errors only tell where.
pub(in crate::transport) fn classify(error: &(dyn StdError + 'static)) -> ErrorClass {
    let mut class = ErrorClass::Connect;
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<DialError>() {
            return error.class();
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            if error.is_parse() {
                return ErrorClass::Protocol;
            }
            let is_gone = error.is_incomplete_message() || error.is_closed() || error.is_canceled();
            class = match (is_gone, error.is_user()) {
                (true, _) => ErrorClass::Reset,
                (false, true) => ErrorClass::Internal,
                (false, false) => ErrorClass::Protocol,
            };
        }
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return match error.get_io() {
                Some(error) => classify_io(error),
                None if error.is_remote() => ErrorClass::Reset,
                None => ErrorClass::Protocol,
            };
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return classify_io(error);
        }
        cause = error.source();
    }
    class
}

fn classify_io(error: &io::Error) -> ErrorClass {
    // With TLS 1.3 a server may refuse the handshake after the client's part of it is done.
    if error.get_ref().is_some_and(|error| error.is::<rustls::Error>()) {
        return ErrorClass::Tls;
    }
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => ErrorClass::Protocol,
        _ => ErrorClass::Reset,
    }
}

/// Finds the thing that this side lacked, by the first cause that knows of it.
pub(in crate::transport) fn own_fault(error: &(dyn StdError + 'static)) -> Option<OwnFault> {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    causes.find_map(|error| error.downcast_ref::<DialError>()?.own_fault())
}

/// The text of an error of `class`.
pub(in crate::transport) fn message(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::Dns => "host name of the endpoint could not be resolved",
        ErrorClass::AddressDenied => "endpoint is refused by the address policy",
        ErrorClass::Connect => "no connection to the endpoint could be made",
        ErrorClass::Tls => "TLS handshake with the endpoint failed",
        ErrorClass::Timeout => "deadline passed",
        ErrorClass::Reset => "endpoint closed the connection before the response was complete",
        ErrorClass::Protocol => "response is not valid HTTP, or its head is larger than allowed",
        ErrorClass::Internal => "request could not be sent for want of local resources",
    }
}

pub(in crate::transport) type BoxError = Box<dyn StdError + Send + Sync>;
