//! [`Keys`]: the keys with which a provider's requests are proven; [`KeySource`]: looks public keys up.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::error::Error;
use crate::signature::{MacKey, PublicKey, Secret};

/// The keys with which a provider's requests are proven: secrets, public keys, or a source of public keys.
///
/// ```
/// use hookwire::Secret;
/// use hookwire::provider::Keys;
///
/// // While one secret replaces another, either proves a request.
/// let (new, old): (Secret, Secret) = ("whsec_new".parse()?, "whsec_old".parse()?);
/// let keys = Keys::from([new, old]);
/// # let _ = keys;
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Keys {
    pub(crate) secrets: Vec<Secret>,
    pub(crate) public: Vec<PublicKey>,
    pub(crate) source: Option<Arc<dyn ErasedKeySource>>,
    pub(crate) verify_token: Option<Secret>,
    pub(crate) key_id: Option<String>,
    pub(crate) audience: Option<String>,
    pub(crate) email: Option<String>,
}

impl Keys {
    /// No key, for a provider that proves nothing. Guards have to.
    pub fn none() -> Self {
        Self::default()
    }

    /// The public keys that `source` looks up, such as those of a JSON Web Key Set.
    pub fn from_source(source: impl KeySource + 'static) -> Self {
        Self { source: Some(Arc::new(source)), ..Self::default() }
    }

    /// Reads the keys of a file: PEM (public keys or certificates), a JSON Web Key or a set of them, or else
    /// secrets, one a line.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Secret`](crate::ErrorKind::Secret) if the text holds none.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if text.contains("-----BEGIN ") || text.starts_with('{') {
            return Ok(Self { public: PublicKey::parse_all(text)?, ..Self::default() });
        }
        let secrets = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let secrets: Vec<Secret> = secrets.map(str::parse).collect::<Result<_, _>>()?;
        match secrets.is_empty() {
            true => Err("".parse::<Secret>().expect_err("invariant: no secret is empty")),
            false => Ok(Self::from(secrets)),
        }
    }

    /// Adds a secret.
    #[must_use]
    pub fn with_secret(mut self, secret: Secret) -> Self {
        self.secrets.push(secret);
        self
    }

    /// Adds a public key.
    #[must_use]
    pub fn with_public_key(mut self, key: PublicKey) -> Self {
        self.public.push(key);
        self
    }

    /// Adds the keys of another set.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.secrets.extend(other.secrets);
        self.public.extend(other.public);
        self.source = self.source.or(other.source);
        self.verify_token = self.verify_token.or(other.verify_token);
        self.key_id = self.key_id.or(other.key_id);
        self.audience = self.audience.or(other.audience);
        self.email = self.email.or(other.email);
        self
    }

    /// Sets the token that a challenge has to show, where it is another one than the secret (Meta's verify
    /// token).
    #[must_use]
    pub fn with_verify_token(mut self, token: Secret) -> Self {
        self.verify_token = Some(token);
        self
    }

    /// Sets the service account that tokens have to name, verified, in their claim `email` (Google Pub/Sub).
    ///
    /// Without it, any customer of Google's can have a token made for the audience of your endpoint.
    #[must_use]
    pub fn with_email(mut self, email: impl Into<String>) -> Self {
        self.email = Some(email.into());
        self
    }

    /// Sets the public name of the key or of the webhook: Braintree's public key, which its challenge
    /// repeats, or PayPal's id of the webhook, which is signed.
    #[must_use]
    pub fn with_key_id(mut self, id: impl Into<String>) -> Self {
        self.key_id = Some(id.into());
        self
    }

    /// Sets the audience that tokens have to name, where it is another text than the URL (Google Pub/Sub).
    #[must_use]
    pub fn with_audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Whether there is no key at all.
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty() && self.public.is_empty() && self.source.is_none()
    }
}

impl From<Secret> for Keys {
    fn from(secret: Secret) -> Self {
        Self { secrets: vec![secret], ..Self::default() }
    }
}

impl From<&Secret> for Keys {
    fn from(secret: &Secret) -> Self {
        secret.clone().into()
    }
}

impl From<Vec<Secret>> for Keys {
    fn from(secrets: Vec<Secret>) -> Self {
        Self { secrets, ..Self::default() }
    }
}

impl From<&[Secret]> for Keys {
    fn from(secrets: &[Secret]) -> Self {
        secrets.to_vec().into()
    }
}

impl<const N: usize> From<[Secret; N]> for Keys {
    fn from(secrets: [Secret; N]) -> Self {
        secrets.to_vec().into()
    }
}

impl From<PublicKey> for Keys {
    fn from(key: PublicKey) -> Self {
        Self { public: vec![key], ..Self::default() }
    }
}

impl From<&PublicKey> for Keys {
    fn from(key: &PublicKey) -> Self {
        key.clone().into()
    }
}

impl From<Vec<PublicKey>> for Keys {
    fn from(public: Vec<PublicKey>) -> Self {
        Self { public, ..Self::default() }
    }
}

/// Shows how many keys there are.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("secrets", &self.secrets.len())
            .field("public", &self.public)
            .field("source", &self.source.is_some())
            .finish_non_exhaustive()
    }
}

/// The keys that may have signed a request, ready for messages.
#[derive(Clone, Copy)]
pub(super) struct ReadyKeys<'k> {
    pub(super) macs: &'k [MacKey],
    pub(super) given: &'k [PublicKey],
    pub(super) looked_up: &'k [PublicKey],
}

impl<'k> ReadyKeys<'k> {
    pub(super) fn public(self) -> impl Iterator<Item = &'k PublicKey> {
        self.given.iter().chain(self.looked_up)
    }
}

/// Looks up public keys, for example in a JSON Web Key Set that the provider publishes.
///
/// The receiver asks for each request, before it is proven. So cache the answers, those about unknown names
/// for a while too, and fetch over HTTPS only.
pub trait KeySource: Send + Sync {
    /// The keys of this name: a `kid` of a token, or the URL of a certificate, whose host the provider's rule
    /// has allowed. An empty name stands for a token without one. No keys if the name is not known.
    ///
    /// # Errors
    ///
    /// An error of your own if the keys cannot be looked up. The sender is then asked to repeat the request.
    fn keys(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Vec<PublicKey>, Box<dyn StdError + Send + Sync>>> + Send;
}

#[deny(clippy::missing_trait_methods)]
impl<S: KeySource + ?Sized> KeySource for Arc<S> {
    fn keys(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Vec<PublicKey>, Box<dyn StdError + Send + Sync>>> + Send {
        S::keys(self, name)
    }
}

/// The keys of a name, or why they cannot be looked up.
type Lookup = Result<Vec<PublicKey>, Box<dyn StdError + Send + Sync>>;

/// A [`KeySource`] without its type.
pub(crate) trait ErasedKeySource: Send + Sync {
    fn keys_dyn<'a>(&'a self, name: &'a str) -> Pin<Box<dyn Future<Output = Lookup> + Send + 'a>>;
}

impl<S: KeySource> ErasedKeySource for S {
    fn keys_dyn<'a>(&'a self, name: &'a str) -> Pin<Box<dyn Future<Output = Lookup> + Send + 'a>> {
        Box::pin(self.keys(name))
    }
}
