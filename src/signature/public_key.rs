//! [`PublicKey`]: a sender's public key, in any of the forms in which senders publish it.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_PAD_INDIFFERENT, URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::der;
use super::key_material::KeyMaterial;
use crate::error::{Error, ErrorKind};

/// A sender's public key: Ed25519, ECDSA on P-256 or P-384, or RSA.
///
/// It is read from PEM (a public key or a certificate), from a JSON Web Key, from base64 of a
/// `SubjectPublicKeyInfo`, and, for Ed25519, from 32 bytes in hex or base64.
///
/// ```
/// use hookwire::signature::PublicKey;
///
/// // Discord shows hex, Telnyx base64.
/// let hex: PublicKey = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8".parse()?;
/// let base64: PublicKey = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=".parse()?;
/// assert_eq!(hex, base64);
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct PublicKey {
    pub(crate) id: Option<String>,
    pub(crate) material: KeyMaterial,
}

impl PublicKey {
    /// Reads every key of a text: one key in any form, several PEM blocks, or a JSON Web Key Set (RFC 7517).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Secret`] if the text holds no key, or a key of a kind that no preset uses.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, Error> {
        let text = text.trim();
        if text.contains("-----BEGIN ") {
            return pem(text);
        }
        if text.starts_with('{') {
            return json(text);
        }
        let key = hex(text).map(KeyMaterial::ed25519).or_else(|| base64(text)).ok_or_else(unreadable)?;
        Ok(vec![Self { id: None, material: key }])
    }

    /// The key's name in a set (`kid`), if it has one.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Sets the key's name in a set (`kid`).
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }
}

impl FromStr for PublicKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut all = Self::parse_all(text)?;
        match (all.pop(), all.is_empty()) {
            (Some(key), true) => Ok(key),
            _ => Err(Error::new(ErrorKind::Secret, "text holds several public keys")
                .with_expected("one, or `PublicKey::parse_all`")),
        }
    }
}

/// Shows the name and the kind.
impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.material {
            KeyMaterial::Ed25519(_) => "Ed25519",
            KeyMaterial::P256(_) => "P-256",
            KeyMaterial::P384(_) => "P-384",
            KeyMaterial::Rsa { .. } => "RSA",
        };
        f.debug_struct("PublicKey").field("id", &self.id).field("kind", &kind).finish_non_exhaustive()
    }
}

fn pem(text: &str) -> Result<Vec<PublicKey>, Error> {
    let mut keys = Vec::new();
    let mut rest = text;
    while let Some((_, block)) = rest.split_once("-----BEGIN ") {
        let (label, body) = block.split_once("-----").ok_or_else(unreadable)?;
        let (body, after) = body.split_once("-----END ").ok_or_else(unreadable)?;
        rest = after;
        // A key from an environment variable may hold `\n` in place of line breaks.
        let body: String = body.replace("\\n", "").split_whitespace().collect();
        let der = STANDARD_PAD_INDIFFERENT.decode(body).map_err(|_| unreadable())?;
        let material = match label {
            "PUBLIC KEY" => der::spki(&der),
            "RSA PUBLIC KEY" => der::rsa(&der),
            "CERTIFICATE" => der::certificate(&der),
            _ => None,
        };
        keys.push(PublicKey { id: None, material: material.ok_or_else(unreadable)? });
    }
    Ok(keys)
}

fn hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 {
        return None;
    }
    let mut key = [0; 32];
    for (byte, pair) in key.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = super::form::escape(pair)?;
    }
    Some(key)
}

fn base64(text: &str) -> Option<KeyMaterial> {
    let text: String = text.replace('-', "+").replace('_', "/").split_whitespace().collect();
    let bytes = STANDARD_PAD_INDIFFERENT.decode(text.strip_prefix("whpk/").unwrap_or(&text)).ok()?;
    match <[u8; 32]>::try_from(bytes.as_slice()) {
        Ok(key) => Some(KeyMaterial::ed25519(key)),
        Err(_) => der::spki(&bytes),
    }
}

/// A JSON Web Key (RFC 7517, RFC 8037), or a set of them.
#[derive(Deserialize)]
struct Jwk<'a> {
    kty: Option<&'a str>,
    kid: Option<String>,
    crv: Option<&'a str>,
    #[serde(borrow)]
    n: Option<&'a str>,
    e: Option<&'a str>,
    x: Option<&'a str>,
    y: Option<&'a str>,
    /// Plaid wraps a key in an object.
    key: Option<Box<Self>>,
    keys: Option<Vec<Self>>,
}

fn json(text: &str) -> Result<Vec<PublicKey>, Error> {
    let jwk: Jwk<'_> = serde_json::from_str(text).map_err(|_| unreadable())?;
    match jwk {
        Jwk { keys: Some(keys), .. } => {
            // A set may hold keys of kinds that this crate does not know.
            let keys: Vec<_> = keys.into_iter().filter_map(of_jwk).collect();
            if keys.is_empty() { Err(unreadable()) } else { Ok(keys) }
        }
        Jwk { key: Some(key), .. } => Ok(vec![of_jwk(*key).ok_or_else(unreadable)?]),
        jwk => Ok(vec![of_jwk(jwk).ok_or_else(unreadable)?]),
    }
}

fn of_jwk(jwk: Jwk<'_>) -> Option<PublicKey> {
    let bytes = |text: Option<&str>| URL_SAFE_NO_PAD.decode(text?).ok();
    let point = |len: usize| {
        let (x, y) = (bytes(jwk.x)?, bytes(jwk.y)?);
        (x.len() == len && y.len() == len).then(|| [&[4], &*x, &*y].concat())
    };
    let material = match (jwk.kty?, jwk.crv) {
        ("RSA", _) => KeyMaterial::rsa(&bytes(jwk.n)?, &bytes(jwk.e)?),
        ("EC", Some("P-256")) => KeyMaterial::P256(point(32)?),
        ("EC", Some("P-384")) => KeyMaterial::P384(point(48)?),
        ("OKP", Some("Ed25519")) => KeyMaterial::ed25519(bytes(jwk.x)?.try_into().ok()?),
        _ => return None,
    };
    Some(PublicKey { id: jwk.kid, material })
}

fn unreadable() -> Error {
    Error::new(ErrorKind::Secret, "public key cannot be read")
        .with_expected("PEM of a public key or certificate, a JSON Web Key, base64, or hex of an Ed25519 key")
}
