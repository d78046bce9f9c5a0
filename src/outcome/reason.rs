//! [`FailureReason`]: why an attempt failed, in more detail than its [`ErrorClass`].

use super::ErrorClass;
use crate::error::ErrorKind;
use crate::text::stored_as_text;

/// Declares the reasons, each with its text, its class and its explanation.
macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $class:ident, $explanation:literal;)*) => {
        /// Why an attempt got no usable response, as the attempt log keeps it.
        ///
        /// A reason is one of a fixed list, so it holds nothing that an endpoint or a proxy sent. Its
        /// [class](Self::class) is the [`ErrorClass`] of the attempt's outcome.
        ///
        /// ```
        /// use hookwire::{ErrorClass, FailureReason};
        ///
        /// let reason: FailureReason = "certificate_expired".parse()?;
        /// assert_eq!(reason, FailureReason::CertificateExpired);
        /// assert_eq!(reason.class(), ErrorClass::Tls);
        /// assert_eq!(reason.explanation(), "the endpoint's certificate has expired");
        /// # Ok::<(), hookwire::Error>(())
        /// ```
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[non_exhaustive]
        pub enum FailureReason {
            $($(#[$doc])* $name,)*
        }

        impl FailureReason {
            /// Every reason, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The reason as stored and logged: `snake_case`, stable across versions.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// The kind of failure that it belongs to.
            pub const fn class(self) -> ErrorClass {
                match self {
                    $(Self::$name => ErrorClass::$class,)*
                }
            }

            /// The reason in words, with the setting that helps where there is one.
            pub const fn explanation(self) -> &'static str {
                match self {
                    $(Self::$name => $explanation,)*
                }
            }
        }
    };
}

reasons! {
    /// The host name does not exist, or has no address.
    NoSuchHost = "no_such_host", Dns, "the endpoint's host name does not exist or has no address";
    /// Name servers gave no answer about the host name.
    DnsFailed = "dns_failed", Dns, "the endpoint's host name could not be resolved";
    /// The deadline passed while the host name was resolved.
    DnsTimeout = "dns_timeout", Timeout, "the endpoint's host name was not resolved in time";

    /// The policy refuses the endpoint, by a rule that the client did not name.
    RefusedByPolicy = "refused_by_policy", AddressDenied, "the sender's address policy refuses the endpoint";
    /// The policy refuses the address, or one that the name resolved to.
    AddressRefused = "address_refused_by_policy", AddressDenied,
        "the sender's address policy refuses the endpoint's address; `AddressPolicy::allow_network` allows a network";
    /// The policy refuses the host name.
    NameRefused = "name_refused_by_policy", AddressDenied,
        "the sender's address policy refuses the endpoint's host name; `AddressPolicy::allow_name` allows a name";
    /// The policy refuses the port.
    PortRefused = "port_refused_by_policy", AddressDenied,
        "the sender's address policy refuses the endpoint's port; `AddressPolicy::allow_port` allows a port";
    /// The policy refuses the scheme.
    SchemeRefused = "scheme_refused_by_policy", AddressDenied,
        "the sender's address policy refuses http; `AddressPolicy::allow_plain_http` allows it";
    /// The policy refuses the URL for its form.
    UrlRefused = "url_refused_by_policy", AddressDenied, "the sender refuses the form of the endpoint's URL";

    /// The host refused the connection.
    Refused = "refused", Connect, "the endpoint refused the connection";
    /// No route leads to the host, or a router reported that it is down.
    Unreachable = "unreachable", Connect, "the endpoint cannot be reached over the network";
    /// No connection could be made, for another reason.
    ConnectFailed = "connect_failed", Connect, "no connection to the endpoint could be made";
    /// The endpoint has no address of the family that requests have to leave from.
    NoUsableAddress = "no_usable_address", Connect,
        "the endpoint has no address of the family of the sender's local address";
    /// The proxy did not connect to the endpoint.
    ProxyRefused = "proxy_refused", Connect, "the sender's proxy did not connect to the endpoint";
    /// The deadline passed while the connection was made.
    ConnectTimeout = "connect_timeout", Timeout, "the endpoint took no connection in time";

    /// The certificate has expired.
    CertificateExpired = "certificate_expired", Tls, "the endpoint's certificate has expired";
    /// The certificate is not valid yet.
    CertificateNotYetValid = "certificate_not_yet_valid", Tls, "the endpoint's certificate is not valid yet";
    /// The certificate's issuer is not trusted.
    CertificateUnknownIssuer = "certificate_unknown_issuer", Tls,
        "the endpoint's certificate was issued by an authority that is not trusted, or its chain is incomplete";
    /// The certificate is for another name.
    CertificateWrongName = "certificate_wrong_name", Tls, "the endpoint's certificate is for another host name";
    /// The certificate was revoked.
    CertificateRevoked = "certificate_revoked", Tls, "the endpoint's certificate was revoked";
    /// The certificate proves nothing, for another reason.
    CertificateInvalid = "certificate_invalid", Tls, "the endpoint's certificate is not valid for a server";
    /// The endpoint wants a client certificate, or another one than it got.
    ClientCertificateRefused = "client_certificate_refused", Tls,
        "the endpoint wants a client certificate, and got none that it takes";
    /// The TLS handshake failed, for another reason.
    TlsHandshake = "tls_handshake", Tls, "the TLS handshake with the endpoint failed";
    /// The deadline passed during the TLS handshake.
    TlsTimeout = "tls_timeout", Timeout, "the endpoint did not finish the TLS handshake in time";

    /// The connection was closed or reset before a status came.
    Reset = "reset", Reset, "the endpoint closed the connection before it answered";
    /// The connection was closed or reset after the status, in the response's body.
    ResetAfterStatus = "reset_after_status", Reset,
        "the endpoint sent a status and closed the connection before the response was complete";
    /// The HTTP/2 peer refused the request's stream each time that it was sent, or allowed no stream until
    /// the deadline.
    RefusedStream = "refused_stream", Reset, "the endpoint took no request on its HTTP/2 connections";
    /// The deadline passed before a status came.
    ResponseTimeout = "response_timeout", Timeout, "the endpoint did not answer in time";
    /// The deadline passed after the status, in the response's body.
    BodyTimeout = "body_timeout", Timeout, "the endpoint sent a status and did not complete the response in time";
    /// The deadline passed, in a phase that the client did not name.
    TimedOut = "timed_out", Timeout, "the deadline passed";

    /// The peer did not speak HTTP.
    NotHttp = "not_http", Protocol, "the endpoint's response is not valid HTTP";
    /// The response's head is larger than allowed.
    HeadTooLarge = "head_too_large", Protocol, "the head of the endpoint's response is larger than allowed";
    /// The response's body is not valid HTTP, after its status.
    MalformedAfterStatus = "malformed_after_status", Protocol,
        "the endpoint sent a status and a body that is not valid HTTP";

    /// The client cannot send the request, whatever the endpoint does.
    Client = "client", Internal, "the sender's HTTP client could not send the request";
    /// The client certificate of the subscription cannot be used.
    ClientCertificate = "client_certificate", Internal,
        "the subscription's client certificate cannot be used: its key does not fit, or the sender's HTTP client takes none";
    /// The subscription's credential makes no header.
    Credential = "credential", Internal, "the subscription's credential cannot be put into a header";
    /// No descriptor was left for a socket.
    Descriptors = "descriptors", Internal, "the sender had no descriptor left for a connection";
    /// A sealed secret does not open.
    Key = "key", Internal, "a secret of the subscription does not open: its key is not in the sender's key ring";
    /// The subscription has no secret, and its contract signs.
    MissingSecret = "missing_secret", Internal,
        "the subscription has no secret and its contract signs, expected at least one secret";
    /// A part of the sender panicked.
    Panic = "panic", Internal, "a part of the sender panicked";
    /// No local port was left.
    Ports = "ports", Internal, "the sender had no local port left for a connection";
    /// The proxy cannot be reached, does not take the credentials, or does not speak the protocol of a proxy.
    Proxy = "proxy", Internal, "the sender's proxy cannot be used";
    /// The resolver gives no answers.
    Resolver = "resolver", Internal, "the sender's resolver gives no answers";
    /// A secret of the subscription cannot sign under its contract.
    Secret = "secret", Internal, "a secret of the subscription cannot sign under its contract";
    /// The event cannot be signed as it is stored.
    Signing = "signing", Internal, "the event cannot be signed as it is stored";
    /// The store cannot be reached.
    Store = "store", Internal, "the sender's store cannot be reached";
    /// The request waited for a stream of a shared connection.
    Streams = "streams", Internal, "the request waited for other requests to the endpoint";
    /// The token source gives no token.
    Token = "token", Internal, "the sender's token source gave no token for the subscription";
    /// A stored row cannot be read.
    Unreadable = "unreadable", Internal, "the stored delivery cannot be read";
    /// A fault on this side that was not named.
    Internal = "internal", Internal, "a fault on the sender's side kept the request from being sent";
}

impl FailureReason {
    /// The reason of which no more is known than its class.
    pub const fn of(class: ErrorClass) -> Self {
        match class {
            ErrorClass::Dns => Self::DnsFailed,
            ErrorClass::AddressDenied => Self::RefusedByPolicy,
            ErrorClass::Connect => Self::ConnectFailed,
            ErrorClass::Tls => Self::TlsHandshake,
            ErrorClass::Timeout => Self::TimedOut,
            ErrorClass::Reset => Self::Reset,
            ErrorClass::Protocol => Self::NotHttp,
            ErrorClass::Internal => Self::Internal,
        }
    }

    /// The reason for the same failure after the response's status.
    pub const fn after_status(self) -> Self {
        match self {
            // A status proves that the request was processed.
            Self::Reset | Self::RefusedStream => Self::ResetAfterStatus,
            Self::NotHttp | Self::HeadTooLarge => Self::MalformedAfterStatus,
            Self::ResponseTimeout => Self::BodyTimeout,
            other => other,
        }
    }
}

stored_as_text!(FailureReason, "reason of a failure", ErrorKind::Outcome);
