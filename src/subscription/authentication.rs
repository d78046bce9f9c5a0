//! [`Authentication`]: how a subscription's requests authenticate besides their signature;
//! [`TokenSource`]: provides bearer tokens.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::header::{header_name, header_value, refused};
use crate::bounds;
use crate::error::Error;
use crate::id::SubscriptionId;
use crate::signature::{Secret, StoredSecret};

/// How a subscription's requests authenticate besides their signature.
///
/// The functions below make it, and refuse values that could not be sent. `Debug` shows only the kind.
///
/// ```
/// use hookwire::subscription::Authentication;
///
/// let basic = Authentication::basic("Aladdin", "open sesame".parse()?)?;
/// assert_eq!(format!("{basic:?}"), "Basic(..)");
/// assert!(Authentication::basic("user:name", "open sesame".parse()?).is_err());
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone, Default, PartialEq)]
#[non_exhaustive]
pub enum Authentication {
    /// No authentication.
    #[default]
    None,
    /// A key as the whole value of a header.
    #[non_exhaustive]
    ApiKey(HeaderName, StoredSecret),
    /// A name and a password ([RFC 7617](https://www.rfc-editor.org/rfc/rfc7617)).
    #[non_exhaustive]
    Basic(String, StoredSecret),
    /// A fixed bearer token ([RFC 6750](https://www.rfc-editor.org/rfc/rfc6750)).
    #[non_exhaustive]
    Bearer(StoredSecret),
    /// A bearer token from the dispatcher's [`TokenSource`].
    BearerFromSource,
}

impl Authentication {
    /// The maximum of bytes of a name, key, password or token.
    pub const MAX_LEN: usize = bounds::CREDENTIAL;

    /// Sends a key as the whole value of the header `name`, such as `x-api-key`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`](crate::ErrorKind::Subscription) for a header that
    /// [`Options::with_header`](crate::subscription::Options::with_header) refuses, and for a key that is
    /// longer than [`MAX_LEN`](Self::MAX_LEN) or has characters other than visible ASCII and spaces inside.
    pub fn api_key(name: &str, key: Secret) -> Result<Self, Error> {
        Self::ApiKey(header_name(name)?, key.into()).checked()
    }

    /// Sends a name and a password, in UTF-8.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`](crate::ErrorKind::Subscription) for a name with a colon, a control
    /// character in either (RFC 7617 section 2), and for more bytes than [`MAX_LEN`](Self::MAX_LEN).
    pub fn basic(user: impl Into<String>, password: Secret) -> Result<Self, Error> {
        Self::Basic(user.into(), password.into()).checked()
    }

    /// Sends a fixed bearer token.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`](crate::ErrorKind::Subscription) for a token that RFC 6750 section 2.1 does
    /// not allow (letters, digits and `-._~+/`, then any number of `=`), and for more bytes than
    /// [`MAX_LEN`](Self::MAX_LEN).
    pub fn bearer(token: Secret) -> Result<Self, Error> {
        Self::Bearer(token.into()).checked()
    }

    /// The key, password or token, in the clear or sealed.
    pub const fn secret(&self) -> Option<&StoredSecret> {
        match self {
            Self::None | Self::BearerFromSource => None,
            Self::ApiKey(_, secret) | Self::Basic(_, secret) | Self::Bearer(secret) => Some(secret),
        }
    }

    /// The header that carries the credentials.
    pub fn header(&self) -> Option<&HeaderName> {
        match self {
            Self::None => None,
            Self::ApiKey(name, _) => Some(name),
            Self::Basic(..) | Self::Bearer(_) | Self::BearerFromSource => Some(&AUTHORIZATION),
        }
    }

    /// Returns the header and its sensitive value.
    pub(super) fn credentials(
        &self,
        token: Option<&str>,
    ) -> Result<Option<(HeaderName, HeaderValue)>, Error> {
        let (name, value) = match self {
            Self::None => return Ok(None),
            Self::ApiKey(name, key) => (name, Zeroizing::new(opened(key)?.expose().to_owned())),
            Self::Basic(user, password) => {
                let pair = Zeroizing::new(format!("{user}:{}", opened(password)?.expose()));
                let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
                (&AUTHORIZATION, Zeroizing::new(format!("Basic {}", *encoded)))
            }
            Self::Bearer(token) => (&AUTHORIZATION, bearer(opened(token)?.expose())),
            Self::BearerFromSource => {
                let token = token.ok_or_else(|| {
                    refused("no bearer token was given").with_expected("the token source's")
                })?;
                check_token(token)?;
                (&AUTHORIZATION, bearer(token))
            }
        };
        let value = header_value(&value).expect("invariant: credentials are checked to be visible ASCII");
        Ok(Some((name.clone(), value)))
    }

    /// Replaces the key, password or token, if there is one.
    pub(crate) fn with_secret(self, secret: StoredSecret) -> Result<Self, Error> {
        match self {
            Self::None | Self::BearerFromSource => Ok(self),
            Self::ApiKey(name, _) => Self::ApiKey(name, secret).checked(),
            Self::Basic(user, _) => Self::Basic(user, secret).checked(),
            Self::Bearer(_) => Self::Bearer(secret).checked(),
        }
    }

    /// Refuses credentials that could not be sent. Sealed ones are checked when they are opened.
    fn checked(self) -> Result<Self, Error> {
        let text = self.secret().and_then(StoredSecret::plain).map(Secret::expose);
        match (&self, text) {
            (Self::ApiKey(..), Some(key)) => {
                check_len("API key", key)?;
                if header_value(key).is_none() {
                    return Err(refused("API key cannot be sent in a header").with_expected("visible ASCII"));
                }
            }
            (Self::Basic(user, _), password) => {
                let password = password.unwrap_or_default();
                check_len("user name", user)?;
                check_len("password", password)?;
                if user.contains(':') {
                    return Err(
                        refused("user name holds a colon").with_expected("one without (RFC 7617 section 2)")
                    );
                }
                if user.chars().chain(password.chars()).any(char::is_control) {
                    return Err(refused("user name or password holds a control character")
                        .with_expected("none (RFC 7617 section 2)"));
                }
            }
            (Self::Bearer(_), Some(token)) => check_token(token)?,
            _ => {}
        }
        Ok(self)
    }

    pub(super) fn to_stored(&self) -> StoredAuthentication {
        match self {
            Self::None => StoredAuthentication::None,
            Self::ApiKey(header, key) => {
                StoredAuthentication::ApiKey { header: header.to_string(), secret: key.to_storage() }
            }
            Self::Basic(user, password) => {
                StoredAuthentication::Basic { user: user.clone(), secret: password.to_storage() }
            }
            Self::Bearer(token) => StoredAuthentication::Bearer { secret: token.to_storage() },
            Self::BearerFromSource => StoredAuthentication::BearerFromSource,
        }
    }

    pub(super) fn from_stored(stored: StoredAuthentication) -> Result<Self, Error> {
        let read = |secret: Zeroizing<String>| {
            StoredSecret::from_storage(&secret).map_err(|_| refused("stored credentials cannot be read"))
        };
        match stored {
            StoredAuthentication::None => Ok(Self::None),
            StoredAuthentication::ApiKey { header, secret } => {
                Self::ApiKey(header_name(&header)?, read(secret)?).checked()
            }
            StoredAuthentication::Basic { user, secret } => Self::Basic(user, read(secret)?).checked(),
            StoredAuthentication::Bearer { secret } => Self::Bearer(read(secret)?).checked(),
            StoredAuthentication::BearerFromSource => Ok(Self::BearerFromSource),
        }
    }
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::ApiKey(..) => "ApiKey(..)",
            Self::Basic(..) => "Basic(..)",
            Self::Bearer(_) => "Bearer(..)",
            Self::BearerFromSource => "BearerFromSource",
        })
    }
}

/// Provides the bearer tokens of subscriptions with [`Authentication::BearerFromSource`], such as an OAuth
/// client.
///
/// The dispatcher calls it before each attempt, so cache tokens in it. An error costs no attempt and is
/// not held against the endpoint. Its text is logged, so it must not contain a token.
///
/// ```
/// use std::error::Error;
/// use hookwire::subscription::TokenSource;
/// use hookwire::{Secret, SubscriptionId};
///
/// /// One token for every subscription.
/// struct Shared(Secret);
///
/// impl TokenSource for Shared {
///     async fn token(&self, _: SubscriptionId) -> Result<Secret, Box<dyn Error + Send + Sync>> {
///         Ok(self.0.clone())
///     }
/// }
/// ```
pub trait TokenSource: Send + Sync {
    /// Returns the token for the endpoint of this subscription, in the form of RFC 6750 section 2.1.
    ///
    /// # Errors
    ///
    /// Any error; its text is logged.
    fn token(
        &self,
        subscription: SubscriptionId,
    ) -> impl Future<Output = Result<Secret, Box<dyn StdError + Send + Sync>>> + Send;
}

#[deny(clippy::missing_trait_methods)]
impl<T: TokenSource + ?Sized> TokenSource for &T {
    fn token(
        &self,
        subscription: SubscriptionId,
    ) -> impl Future<Output = Result<Secret, Box<dyn StdError + Send + Sync>>> + Send {
        T::token(self, subscription)
    }
}

#[deny(clippy::missing_trait_methods)]
impl<T: TokenSource + ?Sized> TokenSource for Arc<T> {
    fn token(
        &self,
        subscription: SubscriptionId,
    ) -> impl Future<Output = Result<Secret, Box<dyn StdError + Send + Sync>>> + Send {
        T::token(self, subscription)
    }
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StoredAuthentication {
    #[default]
    None,
    ApiKey {
        header: String,
        secret: Zeroizing<String>,
    },
    Basic {
        user: String,
        secret: Zeroizing<String>,
    },
    Bearer {
        secret: Zeroizing<String>,
    },
    BearerFromSource,
}

impl StoredAuthentication {
    pub(super) const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

fn check_token(token: &str) -> Result<(), Error> {
    check_len("bearer token", token)?;
    let body = token.trim_end_matches('=');
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    if body.is_empty() || !body.bytes().all(allowed) {
        return Err(refused("bearer token is not valid")
            .with_expected("letters, digits and -._~+/ and then = (RFC 6750 section 2.1)"));
    }
    Ok(())
}

fn check_len(what: &str, text: &str) -> Result<(), Error> {
    if text.len() > Authentication::MAX_LEN {
        return Err(refused(format!("{what} has {} bytes", text.len()))
            .with_expected(format!("at most {}", Authentication::MAX_LEN)));
    }
    Ok(())
}

/// Returns the secret in the clear.
fn opened(secret: &StoredSecret) -> Result<&Secret, Error> {
    secret.plain().ok_or_else(|| {
        refused("credentials are sealed")
            .with_expected("them opened by their key ring (`Dispatcher::with_key_ring`)")
    })
}

fn bearer(token: &str) -> Zeroizing<String> {
    Zeroizing::new(format!("Bearer {token}"))
}
