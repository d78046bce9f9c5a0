//! [`PathGuard`]: admits requests to a URL that nobody can guess.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};
use crate::receive::arrival::Arrival;
use crate::receive::guard::Guard;
use crate::signature::Secret;

/// Admits requests whose path ends with a token that nobody can guess, for senders that can only POST to a
/// URL.
///
/// Every proxy on the way logs the URL. Keep the token out of your own logs, and replace it from time to
/// time.
///
/// ```
/// use hookwire::receive::{Arrival, Guard, PathGuard};
///
/// let guard = PathGuard::new(&"Zk3v9QpX7rT2mB8wLc5nH1yD".parse()?)?;
/// let headers = http::HeaderMap::new();
/// assert!(guard.admits(&Arrival::post(&headers).with_path("/hooks/Zk3v9QpX7rT2mB8wLc5nH1yD")));
/// assert!(!guard.admits(&Arrival::post(&headers).with_path("/hooks/")));
/// # Ok::<(), hookwire::Error>(())
/// ```
pub struct PathGuard {
    token: Zeroizing<String>,
}

impl PathGuard {
    /// Demands `token` as the last segment of the path.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Secret`] for a token of fewer than 22 characters, which is less than 128 bits of
    /// base64url, and for a token with other characters than letters, digits, `-`, `_`, `.` and `~`. These
    /// stand in a path as they are (RFC 3986 section 2.3).
    pub fn new(token: &Secret) -> Result<Self, Error> {
        let text = token.expose();
        let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte));
        if text.len() < SHORTEST || !is_plain {
            let expected = format!("at least {SHORTEST} of A-Z, a-z, 0-9, - _ . ~");
            return Err(
                Error::new(ErrorKind::Secret, "path token is too short or not plain").with_expected(expected)
            );
        }
        Ok(Self { token: Zeroizing::new(text.to_owned()) })
    }
}

impl Guard for PathGuard {
    fn name(&self) -> &'static str {
        "path"
    }

    fn admits(&self, arrival: &Arrival<'_>) -> bool {
        let Some(path) = arrival.path else { return false };
        let shown = path.rsplit_once('/').map_or(path, |(_, last)| last);
        shown.as_bytes().ct_eq(self.token.as_bytes()).into()
    }
}

impl fmt::Debug for PathGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PathGuard").finish_non_exhaustive()
    }
}

const SHORTEST: usize = 22;
