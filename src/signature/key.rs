//! The keys a secret becomes under a scheme: HMAC-SHA256, or Ed25519 with its feature.

use std::sync::Arc;

use hmac::KeyInit as _;
use hmac::block_api::HmacCore;
use hmac::digest::Output;
use hmac::digest::block_api::{Buffer, FixedOutputCore as _, UpdateCore as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::ed25519;
use super::encoding;
use super::message::Content;
use super::scheme::{KeyForm, Scheme};
use super::secret::{Secret, WHSEC};
use crate::error::{Error, ErrorKind};

/// What signs.
#[derive(Clone)]
pub(super) enum SigningKey {
    Hmac(HmacKey),
    /// Ten times as large.
    Ed25519(Box<ed25519::SigningKey>),
}

impl SigningKey {
    pub(super) fn new(scheme: &Scheme, secret: &Secret) -> Result<Self, Error> {
        Ok(match scheme.asymmetric {
            Some(asymmetric) if is_asymmetric(secret) => {
                Self::Ed25519(Box::new(asymmetric.signing_key(secret)?))
            }
            _ => Self::Hmac(HmacKey::new(scheme, secret)?),
        })
    }
}

/// What proves.
#[derive(Clone)]
pub(super) enum VerifyingKey {
    Hmac(HmacKey),
    Ed25519(ed25519::VerifyingKey),
}

impl VerifyingKey {
    pub(super) fn new(scheme: &Scheme, secret: &Secret) -> Result<Self, Error> {
        Ok(match scheme.asymmetric {
            Some(asymmetric) if is_asymmetric(secret) => Self::Ed25519(asymmetric.verifying_key(secret)?),
            _ => Self::Hmac(HmacKey::new(scheme, secret)?),
        })
    }
}

/// An HMAC-SHA256 state that has already taken in its key; a message costs a clone of it.
///
/// The core without a buffer of its own: cloning, moving and wiping an empty one takes a tenth of a short message's time.
#[derive(Clone)]
pub(super) struct HmacKey(Arc<HmacCore<Sha256>>);

impl HmacKey {
    fn new(scheme: &Scheme, secret: &Secret) -> Result<Self, Error> {
        check_kind(scheme, secret)?;
        if let Some(key) = secret.kept_key(scheme.key_form) {
            return Ok(key.clone());
        }
        let core =
            HmacCore::new_from_slice(&hmac_key(scheme, secret)?).expect("invariant: HMAC takes any key");
        let key = Self(Arc::new(core));
        secret.keep_key(scheme.key_form, &key);
        Ok(key)
    }

    #[inline(always)]
    pub(super) fn tag(&self, content: &Content<'_>) -> [u8; 32] {
        let mut core = HmacCore::clone(&self.0);
        let mut buffer = Buffer::<HmacCore<Sha256>>::default();
        for piece in content.pieces() {
            buffer.digest_blocks(piece, |blocks| core.update_blocks(blocks));
        }
        let mut tag = Output::<HmacCore<Sha256>>::default();
        core.finalize_fixed_core(&mut buffer, &mut tag);
        tag.into()
    }
}

/// Refuses keys that are meant for something else than HMAC under this scheme.
fn check_kind(scheme: &Scheme, secret: &Secret) -> Result<(), Error> {
    if is_asymmetric(secret) {
        return Err(refused(format!(
            "secret is an Ed25519 key (whsk_ or whpk_) and {} signs with HMAC, expected a whsec_ secret or \
             the scheme standard_webhooks_ed25519",
            scheme.name
        )));
    }
    if scheme.asymmetric.is_some() && secret.text().is_some_and(|text| !text.starts_with(WHSEC)) {
        return Err(refused(format!(
            "secret has no prefix that tells its kind, {} expects whsk_, whpk_ or whsec_",
            scheme.name
        )));
    }
    Ok(())
}

/// The bytes of an HMAC key, judged by the scheme's rules for its form.
fn hmac_key(scheme: &Scheme, secret: &Secret) -> Result<Zeroizing<Vec<u8>>, Error> {
    let key = match (secret.text(), scheme.key_form) {
        (None, _) => secret.raw(),
        (Some(text), KeyForm::Text) => Zeroizing::new(text.as_bytes().to_vec()),
        (Some(text), KeyForm::Base64) => encoding::read_key(text.strip_prefix(WHSEC).unwrap_or(text))
            .ok_or_else(|| {
                refused(format!("secret is not canonical base64 after whsec_, as {} expects it", scheme.name))
            })?,
    };
    let least = match scheme.key_form {
        KeyForm::Base64 => MIN_BASE64_KEY_LEN,
        KeyForm::Text => 1,
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

fn is_asymmetric(secret: &Secret) -> bool {
    secret.text().is_some_and(|text| text.starts_with(ed25519::PRIVATE) || text.starts_with(ed25519::PUBLIC))
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::Secret, message)
}

/// Half of SHA-256's output, below which a key is weaker than the tag it makes (RFC 2104, section 3).
const MIN_BASE64_KEY_LEN: usize = 16;
