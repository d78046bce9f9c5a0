//! [`ClientCertificate`]: the certificate by which an endpoint knows a subscription's requests (mutual TLS).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::header::refused;
use crate::bounds;
use crate::error::Error;
use crate::signature::{Secret, StoredSecret};

/// The certificate by which an endpoint knows a subscription's requests (mutual TLS), and its private key.
///
/// The key is a secret of the subscription: a key ring seals it, and no read shows it. `Debug` shows nothing.
///
/// ```
/// use hookwire::subscription::ClientCertificate;
///
/// let text = |label: &str| format!("-----BEGIN {label}-----\nMAA=\n-----END {label}-----\n");
/// assert!(ClientCertificate::from_pem(&text("CERTIFICATE"), &text("PRIVATE KEY")).is_ok());
/// assert!(ClientCertificate::from_pem(&text("CERTIFICATE"), &text("ENCRYPTED PRIVATE KEY")).is_err());
/// ```
#[derive(Clone, PartialEq)]
pub struct ClientCertificate {
    /// The certificates in DER and base64, the subscription's own first.
    chain: Vec<String>,
    /// The key in DER and base64.
    key: StoredSecret,
}

impl ClientCertificate {
    /// The maximum of bytes of the certificates together, in DER and base64.
    pub const MAX_LEN: usize = bounds::CERTIFICATES;

    /// Reads the certificates and the private key from PEM (RFC 7468): the own certificate first, then those
    /// that lead to its root; the key in PKCS #8, PKCS #1 or SEC 1.
    ///
    /// Whether the key fits the certificate is found out when a request is sent: a subscription whose key
    /// does not fit waits, as one whose secret is missing does.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`](crate::ErrorKind::Subscription) for a text without a certificate or with
    /// another number of keys than one, for an encrypted key, and for more than [`MAX_LEN`](Self::MAX_LEN) or
    /// a key of more than [`CREDENTIAL`](bounds::CREDENTIAL) bytes. The error repeats neither.
    pub fn from_pem(certificates: &str, key: &str) -> Result<Self, Error> {
        let unreadable = || {
            refused("client certificate is not readable")
                .with_expected("one or more blocks `CERTIFICATE` of PEM")
        };
        let chain: Vec<_> = blocks(certificates, &["CERTIFICATE"]).ok_or_else(unreadable)?;
        let chain: Vec<_> = chain.iter().map(|der| STANDARD.encode(der)).collect();
        let len: usize = chain.iter().map(String::len).sum();
        if chain.is_empty() {
            return Err(unreadable());
        }
        if len > Self::MAX_LEN {
            return Err(refused(format!("client certificates have {len} bytes"))
                .with_expected(format!("at most {}", Self::MAX_LEN)));
        }
        let keys = blocks(key, &["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"]);
        let Some([key]) = keys.as_deref() else {
            return Err(refused("key of the client certificate is not readable")
                .with_expected("one block of PEM with a private key that is not encrypted"));
        };
        let key = Zeroizing::new(STANDARD.encode(key));
        Self { chain, key: key.parse::<Secret>().map_err(|_| unreadable())?.into() }.checked()
    }

    /// The private key, in the clear or sealed: DER in base64.
    pub const fn key(&self) -> &StoredSecret {
        &self.key
    }

    /// Replaces the key by the same one, sealed or opened.
    pub(super) fn with_key(mut self, key: StoredSecret) -> Result<Self, Error> {
        self.key = key;
        self.checked()
    }

    /// The certificates and the key in DER; `None` while the key is sealed, or if it is no base64.
    pub fn to_der(&self) -> Option<Der> {
        let chain = self.chain.iter().map(|text| STANDARD.decode(text).ok()).collect::<Option<_>>()?;
        Some((chain, Zeroizing::new(STANDARD.decode(self.key.plain()?.expose()).ok()?)))
    }

    pub(super) fn to_stored(&self) -> StoredCertificate {
        StoredCertificate { chain: self.chain.clone(), key: self.key.to_storage() }
    }

    pub(super) fn from_stored(stored: StoredCertificate) -> Result<Self, Error> {
        let unread = || refused("stored client certificate cannot be read");
        let key = StoredSecret::from_storage(&stored.key).map_err(|_| unread())?;
        Self { chain: stored.chain, key }.checked()
    }

    /// Refuses a key that is too long. A sealed one is checked when it is opened.
    fn checked(self) -> Result<Self, Error> {
        let len = self.key.plain().map_or(0, |key| key.expose().len());
        if len > bounds::CREDENTIAL {
            return Err(refused(format!("key of the client certificate has {len} bytes"))
                .with_expected(format!("at most {}", bounds::CREDENTIAL)));
        }
        Ok(self)
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate(..)")
    }
}

/// Certificates and their key.
type Der = (Vec<Vec<u8>>, Zeroizing<Vec<u8>>);

/// As [`Options`](super::Options) store it.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredCertificate {
    chain: Vec<String>,
    key: Zeroizing<String>,
}

/// The bytes of every block of a text in PEM (RFC 7468), if each has one of these labels.
fn blocks(text: &str, labels: &[&str]) -> Option<Vec<Zeroizing<Vec<u8>>>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let (label, after) = after.split_once("-----")?;
        if !labels.contains(&label) {
            return None;
        }
        let (body, after) = after.split_once(&format!("-----END {label}-----"))?;
        let body: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
        found.push(Zeroizing::new(STANDARD.decode(body.as_bytes()).ok().filter(|der| !der.is_empty())?));
        rest = after;
    }
    Some(found)
}
