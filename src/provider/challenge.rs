//! [`Challenge`]: the request by which a provider asks whether an endpoint is willing, as data.

use http::Method;

use crate::signature::Algorithm;

/// A request by which a provider asks whether an endpoint is willing to receive, and the answer that it
/// wants.
///
/// A challenge is told by its method and by [`When`]. Its answer repeats a text of the request, in an
/// [`Reply`]'s form.
///
/// ```
/// use hookwire::provider::{Challenge, Echo, Reply, Value, When};
///
/// // A GET with ?token=t, and an answer {"ok":"t"}
/// const ACME: Challenge =
///     Challenge::get(When::Query("token"), Echo::Query("token"), Reply::Json(&[("ok", Value::Echo)]));
/// # let _ = ACME;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Challenge {
    pub(crate) method: Verb,
    pub(crate) when: When,
    pub(crate) echo: Echo,
    pub(crate) reply: Reply,
    pub(crate) status: u16,
    pub(crate) is_proved: bool,
    pub(crate) token: Option<&'static str>,
    pub(crate) mac: Option<Mac>,
    pub(crate) hands_secret_over: bool,
}

/// The method of a challenge.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verb {
    Get,
    Head,
    Options,
    Post,
}

impl Verb {
    pub(crate) fn is(self, method: &Method) -> bool {
        *method
            == match self {
                Self::Get => Method::GET,
                Self::Head => Method::HEAD,
                Self::Options => Method::OPTIONS,
                Self::Post => Method::POST,
            }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Post => "POST",
        }
    }
}

impl Challenge {
    /// A challenge by GET, answered 200.
    pub const fn get(when: When, echo: Echo, reply: Reply) -> Self {
        Self::new(Verb::Get, when, echo, reply)
    }

    /// A challenge by POST, answered 200.
    pub const fn post(when: When, echo: Echo, reply: Reply) -> Self {
        Self::new(Verb::Post, when, echo, reply)
    }

    /// A challenge by OPTIONS, answered 200.
    pub const fn options(when: When, echo: Echo, reply: Reply) -> Self {
        Self::new(Verb::Options, when, echo, reply)
    }

    /// Any HEAD, answered 200 without anything.
    pub const fn head() -> Self {
        Self::new(Verb::Head, When::Always, Echo::Nothing, Reply::Empty)
    }

    const fn new(method: Verb, when: When, echo: Echo, reply: Reply) -> Self {
        Self {
            method,
            when,
            echo,
            reply,
            status: 200,
            is_proved: false,
            token: None,
            mac: None,
            hands_secret_over: false,
        }
    }

    /// The method of the request.
    pub const fn method(&self) -> &'static str {
        self.method.as_str()
    }

    /// Sets the status of the answer. The default is 200.
    ///
    /// # Panics
    ///
    /// When it is not a success.
    pub const fn with_status(mut self, status: u16) -> Self {
        assert!(status >= 200 && status <= 299, "a challenge is answered by a success");
        self.status = status;
        self
    }

    /// Answers only if the request is proven as an event is.
    pub const fn with_proof(mut self) -> Self {
        self.is_proved = true;
        self
    }

    /// Answers only if this key of the query has the verify token, or else a secret.
    pub const fn with_token_in_query(mut self, key: &'static str) -> Self {
        self.token = Some(key);
        self
    }

    /// Computes the HMAC of the repeated text with the secret, for the reply.
    ///
    /// Strangers choose that text, and the provider signs its events with the same secret. So a text that
    /// could be the content of an event is refused: see [`Mac`].
    pub const fn with_mac(mut self, mac: Mac) -> Self {
        self.mac = Some(mac);
        self
    }

    /// The repeated text is the secret of later requests: it is handed to the application.
    pub const fn with_secret_handed_over(mut self) -> Self {
        self.hands_secret_over = true;
        self
    }
}

/// The sign that tells a challenge from other requests of its method.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum When {
    /// Nothing: every request of the method is one.
    Always,
    /// The query has this key.
    Query(&'static str),
    /// There is a header of this lower-case name.
    Header(&'static str),
    /// A header has this value, in any case.
    HeaderIs(&'static str, &'static str),
    /// The JSON body has a text at this JSON Pointer.
    Json(&'static str),
    /// The JSON body has this text at this JSON Pointer.
    JsonIs(&'static str, &'static str),
    /// The JSON body has this number at this JSON Pointer.
    JsonNumber(&'static str, u64),
    /// The form body has this field and no other.
    OnlyFormField(&'static str),
}

/// The text of a challenge that its answer repeats.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Echo {
    /// None.
    Nothing,
    /// The value of a key of the query, decoded.
    Query(&'static str),
    /// The value of a header.
    Header(&'static str),
    /// A text of the JSON body.
    Json(&'static str),
}

/// The HMAC of the repeated text, with the first secret.
///
/// Only a text that no event can have as its signed content gets an HMAC, or the endpoint would sign a
/// stranger's events.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Mac {
    /// HMAC-SHA256 in hex. The text has letters, digits and `-._~+/=` alone, so it is no JSON object.
    Hex,
    /// HMAC-SHA256 in base64 after a prefix. The text has the same characters.
    Base64(&'static str),
    /// The key's public name, `|`, and HMAC-SHA1 in hex, keyed by the SHA-1 of the secret (Braintree).
    /// The text is lower-case hex, so it is no XML in base64.
    NamedSha1,
}

impl Mac {
    pub(crate) const fn algorithm(self) -> Algorithm {
        match self {
            Self::Hex | Self::Base64(_) => Algorithm::HmacSha256,
            Self::NamedSha1 => Algorithm::HmacSha1,
        }
    }

    /// Whether a text may get an HMAC, because it cannot be the signed content of an event.
    pub(crate) fn may_sign(self, text: &str) -> bool {
        text.bytes().all(|byte| match self {
            Self::Hex | Self::Base64(_) => byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte),
            Self::NamedSha1 => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        })
    }
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Reply {
    /// No body.
    Empty,
    /// The repeated text, or its HMAC if there is one, as `text/plain`.
    Text,
    /// A JSON object with these members.
    Json(&'static [(&'static str, Value)]),
    /// No body, and these headers.
    Headers(&'static [(&'static str, Value)]),
}

/// A value in an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// The repeated text.
    Echo,
    /// The HMAC of it.
    Mac,
    /// A fixed text.
    Text(&'static str),
    /// A fixed number.
    Number(u64),
}
