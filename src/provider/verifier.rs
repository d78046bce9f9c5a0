//! [`RequestVerifier`]: proves the requests of a provider.

use std::time::Duration;

use time::OffsetDateTime;

use crate::error::{Error, ErrorKind};
use crate::provider::authentication::{Authentication, JwtAlgorithm, JwtRule, TokenPlace};
use crate::provider::definition::Provider;
use crate::provider::http_signature::{self, Signatures};
use crate::provider::jwt;
use crate::provider::keys::{Keys, ReadyKeys};
use crate::provider::paypal;
use crate::provider::sns::Message;
use crate::provider::token;
use crate::signature::asymmetric::Form;
use crate::signature::{MacKey, Proof, PublicKey, Request, Scheme, Verified, Verifier, VerifyError};

/// Proves the requests of a [`Provider`] with its keys: signatures, tokens, and everything else that
/// providers prove them by.
///
/// ```
/// use hookwire::provider::{Provider, RequestVerifier};
/// use hookwire::signature::Request;
/// use hookwire::{Secret, Signer};
/// use time::OffsetDateTime;
///
/// let stripe = Provider::by_name("stripe").unwrap();
/// let secret: Secret = "whsec_test".parse()?;
/// let verifier = RequestVerifier::new(stripe, &secret)?;
///
/// let now = OffsetDateTime::now_utc();
/// let headers = Signer::new(stripe.scheme().unwrap(), &secret)?.sign("", now, b"{}")?;
/// assert!(verifier.verify_at(&Request::post(&headers, b"{}"), now).is_ok());
/// assert!(verifier.verify_at(&Request::post(&headers, b"[]"), now).is_err());
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RequestVerifier {
    provider: &'static Provider,
    keys: Keys,
    /// The secrets as HMAC keys, if the provider signs tokens or messages with them.
    macs: Vec<MacKey>,
    /// The verifier of a scheme; `None` under a scheme whose keys are looked up, and without one.
    by_scheme: Option<Verifier>,
}

impl RequestVerifier {
    /// Makes a verifier for the provider's requests.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Secret`] if a key does not have the form that the provider demands, if none is given, or
    /// if the crate lacks the feature for it.
    pub fn new(provider: &'static Provider, keys: impl Into<Keys>) -> Result<Self, Error> {
        let mut keys = keys.into();
        if keys.is_empty() && !matches!(provider.authentication, Authentication::Nothing) {
            return Err(Error::new(
                ErrorKind::Secret,
                format!("provider `{}` proves its requests, and no key is given", provider.name),
            )
            .with_expected("a secret, a public key or a key source"));
        }
        let by_scheme = match provider.authentication {
            Authentication::Scheme(scheme) => Some(scheme_verifier(scheme, provider.tolerance, &keys)?),
            _ => None,
        };
        let macs = match provider.authentication {
            Authentication::HttpSignature(rule) => http_signature::mac_keys(&rule, &keys)?,
            Authentication::Jwt(rule) if rule.algorithm == JwtAlgorithm::Hs256 => {
                keys.secrets.iter().map(|secret| MacKey::sha256(&secret.key_bytes())).collect()
            }
            _ => Vec::new(),
        };
        if matches!(provider.authentication, Authentication::PayPal) && keys.key_id.is_none() {
            return Err(Error::new(
                ErrorKind::Secret,
                "PayPal signs the id of the webhook, and none is given",
            )
            .with_expected("`Keys::with_key_id` with the id that PayPal shows for the webhook"));
        }
        if takes_public_keys(provider) {
            for secret in std::mem::take(&mut keys.secrets) {
                keys.public.extend(PublicKey::parse_all(secret.expose())?);
            }
        }
        check_features(provider)?;
        Ok(Self { provider, keys, macs, by_scheme })
    }

    /// The provider.
    pub fn provider(&self) -> &'static Provider {
        self.provider
    }

    /// The keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The name of the key that has to be looked up for this request: the `kid` of a token, which may be
    /// empty, or the URL of a certificate on an allowed host. `None` if the provider's keys have no names.
    ///
    /// # Errors
    ///
    /// A [`VerifyError`] for a request whose token or message cannot be read.
    pub fn key_name(&self, request: &Request<'_>) -> Result<Option<String>, VerifyError> {
        Ok(match self.provider.authentication {
            Authentication::Jwt(rule) if rule.algorithm != JwtAlgorithm::Hs256 => {
                Some(jwt::read(&rule, request)?.key_id().to_owned())
            }
            Authentication::HttpSignature(rule) if !rule.is_hmac => {
                Some(Signatures::read(request)?.key_id().to_owned())
            }
            Authentication::Sns(version) => {
                Some(Message::read(version, request)?.certificate_url()?.to_owned())
            }
            Authentication::PayPal => Some(paypal::certificate_url(request)?.to_owned()),
            _ => None,
        })
    }

    /// Proves a request at `now` with the keys that were given.
    ///
    /// # Errors
    ///
    /// A [`VerifyError`] with the fault. Answer the sender 401 in each case.
    pub fn verify_at<'a>(
        &self,
        request: &Request<'a>,
        now: OffsetDateTime,
    ) -> Result<Verified<'a>, VerifyError> {
        self.verify_with(request, &[], now)
    }

    /// Proves a request at `now` with the keys that were given, and with those that were looked up for its
    /// [`key_name`](Self::key_name).
    ///
    /// # Errors
    ///
    /// A [`VerifyError`] with the fault. Answer the sender 401 in each case.
    pub fn verify_with<'a>(
        &self,
        request: &Request<'a>,
        looked_up: &[PublicKey],
        now: OffsetDateTime,
    ) -> Result<Verified<'a>, VerifyError> {
        let ready = ReadyKeys { macs: &self.macs, given: &self.keys.public, looked_up };
        let signed_at = match self.provider.authentication {
            Authentication::Scheme(_) => {
                let verifier = self.by_scheme.as_ref().ok_or(VerifyError::UnknownKey)?;
                return verifier.verify_request_at(request, now);
            }
            Authentication::Token(places) => {
                token::check(places, &self.keys.secrets, request)?;
                None
            }
            Authentication::Jwt(rule) => {
                let token = jwt::read(&rule, request)?;
                self.check_known(&rule, looked_up)?;
                token.prove(&rule, &self.keys, ready, request, now)?
            }
            Authentication::HttpSignature(rule) => {
                let signatures = Signatures::read(request)?;
                signatures.prove(&rule, ready, request, now)?
            }
            Authentication::Sns(version) => {
                let message = Message::read(version, request)?;
                message.prove(ready.public(), now)?
            }
            Authentication::PayPal => {
                paypal::prove(&self.keys, looked_up, request, self.provider.tolerance, now)?
            }
            Authentication::Nothing => None,
        };
        let by = match self.provider.authentication {
            Authentication::Nothing => Proof::Nothing,
            Authentication::Token(_) => Proof::Guard(self.provider.name),
            _ => Proof::Provider(self.provider.name),
        };
        Ok(Verified::proven(by, signed_at, request, now))
    }

    /// Judges whether the head of a request can prove it, before its body has arrived.
    pub(crate) fn check_head(&self, request: &Request<'_>) -> Result<(), VerifyError> {
        match (&self.by_scheme, self.provider.authentication) {
            (Some(verifier), _) => verifier.check_head(request.headers),
            (None, Authentication::Jwt(rule)) => match rule.place.header() {
                Some(name) if !request.headers.contains_key(name) => Err(VerifyError::MissingHeader { name }),
                _ => Ok(()),
            },
            (None, Authentication::Token(places)) if !places.iter().any(TokenPlace::is_in_body) => {
                token::check(places, &self.keys.secrets, request)
            }
            _ => Ok(()),
        }
    }

    fn check_known(&self, rule: &JwtRule, looked_up: &[PublicKey]) -> Result<(), VerifyError> {
        let has_key = match rule.algorithm {
            JwtAlgorithm::Hs256 => !self.keys.secrets.is_empty(),
            JwtAlgorithm::Rs256 | JwtAlgorithm::Es256 => {
                !self.keys.public.is_empty() || !looked_up.is_empty()
            }
        };
        if has_key { Ok(()) } else { Err(VerifyError::UnknownKey) }
    }
}

/// Whether the provider's keys are public, so that a secret's text is one.
fn takes_public_keys(provider: &Provider) -> bool {
    match provider.authentication {
        Authentication::Jwt(rule) => rule.algorithm != JwtAlgorithm::Hs256,
        Authentication::HttpSignature(rule) => !rule.is_hmac,
        Authentication::Sns(_) | Authentication::PayPal => true,
        Authentication::Scheme(_) | Authentication::Token(_) | Authentication::Nothing => false,
    }
}

fn scheme_verifier(scheme: Scheme, tolerance: Duration, keys: &Keys) -> Result<Verifier, Error> {
    let mut verifier: Option<Verifier> = None;
    for secret in &keys.secrets {
        verifier = Some(match verifier {
            None => Verifier::new(scheme, secret)?,
            Some(verifier) => verifier.with_secret(secret)?,
        });
    }
    for key in &keys.public {
        verifier = Some(match verifier {
            None => Verifier::with_public_key(scheme, key)?,
            Some(verifier) => verifier.and_public_key(key)?,
        });
    }
    let verifier = verifier.ok_or_else(|| {
        Error::new(
            ErrorKind::Secret,
            format!("{} has no names of keys, so a source cannot find them", scheme.name()),
        )
        .with_expected("a secret or a public key")
    })?;
    Ok(verifier.with_tolerance(tolerance))
}

fn check_features(provider: &Provider) -> Result<(), Error> {
    let missing = match provider.authentication {
        Authentication::Jwt(_) if !cfg!(feature = "jwt") => "jwt",
        Authentication::Sns(_) | Authentication::PayPal if !Form::RsaSha256.is_available() => {
            Form::RsaSha256.feature()
        }
        _ => return Ok(()),
    };
    Err(Error::new(
        ErrorKind::Secret,
        format!("provider `{}` proves its requests by a signature that is not built in", provider.name),
    )
    .with_expected(format!("hookwire with the feature `{missing}`")))
}
