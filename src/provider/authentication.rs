//! [`Authentication`]: how a provider's requests are proven.

use std::time::Duration;

use crate::signature::{KeyForm, Scheme};

/// How a provider's requests are proven.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Authentication {
    /// By a signature under a scheme.
    Scheme(Scheme),
    /// By a secret that the request shows at any of these places. It proves the sender and nothing else: a
    /// stranger who sees one request can make others up.
    Token(&'static [TokenPlace]),
    /// By a JSON Web Token (RFC 7519). Needs the feature `jwt`.
    Jwt(JwtRule),
    /// By an HTTP message signature (RFC 9421), and the digest of the body (RFC 9530) where there is one.
    HttpSignature(HttpSignatureRule),
    /// By the signature in a message of Amazon SNS. Needs the feature `asymmetric`.
    Sns(SnsVersion),
    /// By the signature of PayPal's certificate over the id and the time of the transmission, the id of the
    /// webhook and the CRC-32 of the body. Needs the feature `asymmetric`.
    PayPal,
    /// By nothing: the provider signs nothing and shows nothing. Add a guard, such as an unguessable path.
    Nothing,
}

/// The place at which a request shows a secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TokenPlace {
    /// The whole value of a header, by its lower-case name.
    Header(&'static str),
    /// The header `Authorization` with the scheme `Bearer` (RFC 6750).
    Bearer,
    /// The header `Authorization` with the scheme `Basic` (RFC 7617). The secret is `user:password`.
    Basic,
    /// A key of the query.
    Query(&'static str),
    /// Any key of the query, for providers that let the user choose it.
    AnyQuery,
    /// A text of the JSON body, by its JSON Pointer (RFC 6901).
    Json(&'static str),
    /// A text in each item of a list: the JSON Pointers of the list and of the text in an item.
    EachJson(&'static str, &'static str),
}

impl TokenPlace {
    pub(crate) const fn is_in_body(&self) -> bool {
        matches!(self, Self::Json(_) | Self::EachJson(..))
    }
}

/// Which JSON Web Tokens prove a request.
#[derive(Clone, Copy, Debug)]
pub struct JwtRule {
    pub(crate) place: JwtPlace,
    pub(crate) algorithm: JwtAlgorithm,
    pub(crate) issuers: &'static [&'static str],
    pub(crate) body_hash: Option<BodyHash>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) needs_expiry: bool,
    pub(crate) needs_audience: bool,
    pub(crate) query_hash: Option<&'static str>,
}

impl JwtRule {
    /// A token of this algorithm at this place. It has no other claim that counts, except `exp` and `nbf`
    /// where they are there.
    pub const fn new(place: JwtPlace, algorithm: JwtAlgorithm) -> Self {
        Self {
            place,
            algorithm,
            issuers: &[],
            body_hash: None,
            max_age: None,
            needs_expiry: false,
            needs_audience: false,
            query_hash: None,
        }
    }

    /// Demands one of these issuers, where the token names one (`iss`).
    pub const fn with_issuers(mut self, issuers: &'static [&'static str]) -> Self {
        self.issuers = issuers;
        self
    }

    /// Sets the claim with the SHA-256 of the body.
    pub const fn with_body_hash(mut self, hash: BodyHash) -> Self {
        self.body_hash = Some(hash);
        self
    }

    /// Demands the time of issue (`iat`), and that it is at most this far from now.
    pub const fn with_max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Demands an expiry (`exp`).
    pub const fn with_expiry(mut self) -> Self {
        self.needs_expiry = true;
        self
    }

    /// Demands an audience (`aud`): the one that the keys set, or else the URL that the sender was given.
    pub const fn with_audience(mut self) -> Self {
        self.needs_audience = true;
        self
    }

    /// Demands a claim with the SHA-256 of the method, the path and the query, as Atlassian Connect makes it
    /// (`qsh`). The receiver then has to know the URL.
    ///
    /// Atlassian hashes the path below an app's base URL, so any end of the path that begins with a slash is
    /// taken.
    pub const fn with_query_hash(mut self, claim: &'static str) -> Self {
        self.query_hash = Some(claim);
        self
    }
}

/// The place of a JSON Web Token in a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum JwtPlace {
    /// The whole value of a header. In `authorization` the scheme `Bearer` may stand before it.
    Header(&'static str),
    /// The header `Authorization` with the scheme `Bearer`.
    Bearer,
    /// The header `Authorization` with another scheme, such as `JWT`.
    Credentials(&'static str),
    /// The whole body, whose event is the token's claims.
    Body,
}

impl JwtPlace {
    pub(crate) const fn header(self) -> Option<&'static str> {
        match self {
            Self::Header(name) => Some(name),
            Self::Bearer | Self::Credentials(_) => Some("authorization"),
            Self::Body => None,
        }
    }
}

/// The algorithm of a JSON Web Token (RFC 7518 section 3.1). No token chooses its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum JwtAlgorithm {
    /// HMAC-SHA256 with a shared secret.
    Hs256,
    /// RSA-SHA256, PKCS #1 v1.5.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

/// The claim with the SHA-256 of the body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BodyHash {
    pub(crate) claim: &'static str,
    pub(crate) is_base64: bool,
    pub(crate) is_needed: bool,
}

impl BodyHash {
    /// A claim with hex digits.
    pub const fn hex(claim: &'static str) -> Self {
        Self { claim, is_base64: false, is_needed: true }
    }

    /// A claim with base64.
    pub const fn base64(claim: &'static str) -> Self {
        Self { claim, is_base64: true, is_needed: true }
    }

    /// The claim may be missing. The token then covers no body.
    pub const fn if_there(mut self) -> Self {
        self.is_needed = false;
        self
    }
}

/// Which HTTP message signatures (RFC 9421) prove a request.
#[derive(Clone, Copy, Debug)]
pub struct HttpSignatureRule {
    pub(crate) is_hmac: bool,
    pub(crate) key_form: KeyForm,
    pub(crate) required: &'static [&'static str],
    pub(crate) max_age: Duration,
}

impl HttpSignatureRule {
    /// Signatures with a shared secret (`hmac-sha256`), whose text is base64 of the key, as in the RFC's
    /// examples.
    pub const HMAC: Self =
        Self { is_hmac: true, key_form: KeyForm::Base64, required: &[], max_age: Duration::from_secs(300) };

    /// Signatures with a private key, in the algorithm of the public key.
    pub const PUBLIC_KEY: Self = Self { is_hmac: false, ..Self::HMAC };

    /// Sets the HMAC key to the bytes that the secret's text has as hex digits.
    pub const fn with_hex_key(mut self) -> Self {
        self.key_form = KeyForm::Hex;
        self
    }

    /// Sets the HMAC key to the secret's text.
    pub const fn with_text_key(mut self) -> Self {
        self.key_form = KeyForm::Text;
        self
    }

    /// Whether the signature has to cover the digest of the body.
    pub(crate) const fn covers_body(&self) -> bool {
        let mut at = 0;
        while at < self.required.len() {
            if matches!(self.required[at].as_bytes(), b"content-digest") {
                return true;
            }
            at += 1;
        }
        false
    }

    /// Demands that these components are covered, such as `@method`, `@target-uri` and `content-digest`.
    pub const fn with_required(mut self, components: &'static [&'static str]) -> Self {
        self.required = components;
        self
    }

    /// Sets how far the time of signing (`created`) may be from now. The default is 300 s.
    pub const fn with_max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }
}

/// The version of the signatures of Amazon SNS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SnsVersion {
    /// RSA-SHA1.
    V1,
    /// RSA-SHA256.
    V2,
}

impl SnsVersion {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::V1 => "1",
            Self::V2 => "2",
        }
    }
}
