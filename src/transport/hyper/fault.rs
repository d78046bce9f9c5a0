//! [`diagnose`]: finds the reason of a failed exchange among its causes.

use std::error::Error as StdError;
use std::io;

use h2::Reason;
use rustls::{AlertDescription, CertificateError};

use super::dial::DialError;
use crate::address::{AddressError, AddressErrorKind};
use crate::outcome::{ErrorClass, FailureReason};
use crate::transport::error::OwnFault;

/// Finds the reason by the first cause that tells what happened; the outer errors only tell where.
pub(in crate::transport) fn diagnose(error: &(dyn StdError + 'static)) -> FailureReason {
    let mut reason = FailureReason::ConnectFailed;
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<DialError>() {
            return error.reason();
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            if error.is_parse_too_large() {
                return FailureReason::HeadTooLarge;
            }
            if error.is_parse() {
                return FailureReason::NotHttp;
            }
            let is_gone = error.is_incomplete_message() || error.is_closed() || error.is_canceled();
            reason = match (is_gone, error.is_user()) {
                (true, _) => FailureReason::Reset,
                (false, true) => FailureReason::Internal,
                (false, false) => FailureReason::NotHttp,
            };
        }
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return match error.get_io() {
                Some(error) => diagnose_io(error),
                None if how_unprocessed(error).is_some() => FailureReason::RefusedStream,
                None if error.is_remote() => FailureReason::Reset,
                None => FailureReason::NotHttp,
            };
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return diagnose_io(error);
        }
        cause = error.source();
    }
    reason
}

/// How an HTTP/2 peer told that it did not process a request.
#[derive(Clone, Copy)]
pub(in crate::transport) enum Unprocessed {
    /// It refused the stream (RFC 9113 section 8.7).
    Refused,
    /// It closes the connection, and the stream is above the last one that it processes (RFC 9113 section
    /// 6.8).
    GoneAway,
}

/// Whether the peer certainly did not process the request that ended with `error`, so that it may be sent
/// again.
pub(in crate::transport) fn unprocessed(error: &(dyn StdError + 'static)) -> Option<Unprocessed> {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    causes.find_map(|error| error.downcast_ref::<h2::Error>()).and_then(how_unprocessed)
}

fn how_unprocessed(error: &h2::Error) -> Option<Unprocessed> {
    // h2 ends a stream with the peer's GOAWAY only if it is above the last one that the peer names.
    if error.is_remote() && error.is_go_away() {
        return Some(Unprocessed::GoneAway);
    }
    let is_refused = error.is_remote() && error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    is_refused.then_some(Unprocessed::Refused)
}

/// The reason of a failure on a connection that is open.
fn diagnose_io(error: &io::Error) -> FailureReason {
    // With TLS 1.3 a server may refuse the handshake after the client's part of it is done.
    if tls_error(error).is_some() {
        return of_handshake(error);
    }
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => FailureReason::NotHttp,
        _ => FailureReason::Reset,
    }
}

/// The reason of a connection that could not be made.
pub(in crate::transport) fn of_connect(error: &io::Error) -> FailureReason {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => FailureReason::Refused,
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        // Without IPv6 on this host, there is no address to leave from.
        | io::ErrorKind::AddrNotAvailable => FailureReason::Unreachable,
        // The system's own time-out, which is longer than any deadline here.
        io::ErrorKind::TimedOut => FailureReason::Unreachable,
        _ => FailureReason::ConnectFailed,
    }
}

/// The reason of a TLS handshake that failed.
pub(in crate::transport) fn of_handshake(error: &io::Error) -> FailureReason {
    let Some(error) = tls_error(error) else { return FailureReason::TlsHandshake };
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                FailureReason::CertificateExpired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                FailureReason::CertificateNotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                FailureReason::CertificateWrongName
            }
            // An authority of a trusted one's name has another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                FailureReason::CertificateUnknownIssuer
            }
            CertificateError::Revoked => FailureReason::CertificateRevoked,
            _ => FailureReason::CertificateInvalid,
        },
        // RFC 8446 section 6.2. A server sends these about the client's certificate.
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        ) => FailureReason::ClientCertificateRefused,
        _ => FailureReason::TlsHandshake,
    }
}

/// The error of TLS inside an error of a stream, which other libraries may have wrapped once more.
fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    let inner = error.get_ref()?;
    match inner.downcast_ref() {
        Some(error) => Some(error),
        None => tls_error(inner.downcast_ref()?),
    }
}

/// The reason of an endpoint that the policy refuses.
pub(in crate::transport) fn of_policy(error: &AddressError) -> FailureReason {
    match error.kind() {
        AddressErrorKind::Address => FailureReason::AddressRefused,
        AddressErrorKind::Name => FailureReason::NameRefused,
        AddressErrorKind::Port => FailureReason::PortRefused,
        AddressErrorKind::Scheme => FailureReason::SchemeRefused,
        AddressErrorKind::Parse | AddressErrorKind::Syntax | AddressErrorKind::Userinfo => {
            FailureReason::UrlRefused
        }
    }
}

/// Finds the thing that this side lacked, by the first cause that knows of it.
pub(in crate::transport) fn own_fault(error: &(dyn StdError + 'static)) -> Option<OwnFault> {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    causes.find_map(|error| error.downcast_ref::<DialError>()?.own_fault())
}

/// Whether a request may wait for a connection that is open, after another one could not be opened: not if
/// the policy refuses the endpoint by now, nor if this side lacks something that every request needs.
pub(in crate::transport) fn may_wait(error: &(dyn StdError + 'static)) -> bool {
    let is_theirs = matches!(own_fault(error), None | Some(OwnFault::Resolver));
    is_theirs && diagnose(error).class() != ErrorClass::AddressDenied
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
