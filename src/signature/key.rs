//! [`SigningKey`] and [`VerifyingKey`]: the keys that a secret becomes under a scheme, HMAC-SHA256 or
//! Ed25519.

use sha1::{Digest as _, Sha1};
use zeroize::Zeroizing;

use super::ed25519;
use super::encoding;
use super::hmac::HmacKey;
use super::layout::Layout;
use super::scheme::Scheme;
use super::secret::{KeyForm, Secret, WHPK, WHSEC, WHSK};
use crate::error::{Error, ErrorKind};

/// The most secrets that one signer or verifier takes, and the most signatures that one header may hold.
///
/// A receiver works on each of them before anything is proved.
pub(super) const MAX_SIGNATURES: usize = 16;

#[derive(Clone)]
pub(super) enum SigningKey {
    Hmac(HmacKey),
    /// Boxed, because it is ten times as large.
    Ed25519(Box<ed25519::SigningKey>),
}

impl SigningKey {
    pub(super) fn new(scheme: &Scheme, secret: &Secret) -> Result<Self, Error> {
        Ok(match scheme.takes_ed25519 && is_ed25519(secret) {
            true => Self::Ed25519(Box::new(ed25519::SigningKey::new(secret)?)),
            false => Self::Hmac(hmac_key(scheme, secret)?),
        })
    }
}

#[derive(Clone)]
pub(super) enum VerifyingKey {
    Hmac(HmacKey),
    Ed25519(ed25519::VerifyingKey),
}

impl VerifyingKey {
    pub(super) fn new(scheme: &Scheme, secret: &Secret) -> Result<Self, Error> {
        Ok(match scheme.takes_ed25519 && is_ed25519(secret) {
            true => Self::Ed25519(ed25519::VerifyingKey::new(secret)?),
            false => Self::Hmac(hmac_key(scheme, secret)?),
        })
    }
}

/// The HMAC key of a secret, made once: the secret remembers it.
fn hmac_key(scheme: &Scheme, secret: &Secret) -> Result<HmacKey, Error> {
    check_kind(scheme, secret)?;
    if let Some(key) = secret.remembered_key(scheme.key_form) {
        return Ok(key.clone());
    }
    let key = HmacKey::from_bytes(&hmac_key_bytes(scheme, secret)?);
    secret.remember_key(scheme.key_form, &key);
    Ok(key)
}

/// Refuses a key that is meant for another algorithm than HMAC.
pub(super) fn check_kind(scheme: &Scheme, secret: &Secret) -> Result<(), Error> {
    if is_ed25519(secret) {
        let reason = format!("secret is an Ed25519 key (whsk_ or whpk_) and {} signs with HMAC", scheme.name);
        return Err(refused(reason).with_expected("a whsec_ secret or the scheme standard_webhooks_ed25519"));
    }
    if scheme.takes_ed25519 && secret.text().is_some_and(|text| !text.starts_with(WHSEC)) {
        return Err(refused(format!(
            "secret has no prefix that tells its kind, {} expects whsk_, whpk_ or whsec_",
            scheme.name
        )));
    }
    Ok(())
}

/// The bytes of an HMAC key in this form. `name` is who expects it, for the error.
pub(crate) fn secret_bytes(name: &str, form: KeyForm, secret: &Secret) -> Result<Zeroizing<Vec<u8>>, Error> {
    Ok(match (secret.text(), form) {
        (None, _) => secret.raw(),
        (Some(text), KeyForm::Text) => Zeroizing::new(text.as_bytes().to_vec()),
        (Some(text), KeyForm::Sha1) => Zeroizing::new(Sha1::digest(text.as_bytes()).to_vec()),
        (Some(text), KeyForm::Hex) => encoding::read_hex(text.as_bytes())
            .map(Zeroizing::new)
            .ok_or_else(|| refused(format!("secret is not hex digits, as {name} expects it")))?,
        (Some(text), KeyForm::Base64) => encoding::read_key(text.strip_prefix(WHSEC).unwrap_or(text))
            .ok_or_else(|| {
                refused(format!("secret is not canonical base64 after whsec_, as {name} expects it"))
            })?,
    })
}

/// The bytes of an HMAC key, in the form that the scheme demands.
pub(super) fn hmac_key_bytes(scheme: &Scheme, secret: &Secret) -> Result<Zeroizing<Vec<u8>>, Error> {
    let key = secret_bytes(scheme.name, scheme.key_form, secret)?;
    // Only Standard Webhooks says how long a key is. Other senders choose their keys themselves.
    let least = match (scheme.key_form, scheme.layout) {
        (KeyForm::Base64, Layout::List { .. }) => MIN_BASE64_KEY_LEN,
        _ => 1,
    };
    if key.len() < least {
        return Err(refused(format!(
            "secret is a key of {} bytes, {} expects at least {least}",
            key.len(),
            scheme.name
        )));
    }
    Ok(key)
}

fn is_ed25519(secret: &Secret) -> bool {
    secret.text().is_some_and(|text| text.starts_with(WHSK) || text.starts_with(WHPK))
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::Secret, message)
}

/// Half of SHA-256's output, below which a key is weaker than the tag that it makes (RFC 2104 section 3).
const MIN_BASE64_KEY_LEN: usize = 16;
