//! [`PathGuard`]: admits requests to a URL that nobody can guess.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{Arrival, Guard};
use crate::error::{Error, ErrorKind};
use crate::signature::Secret;

/// Admits requests whose path ends with a token that nobody can guess, for senders that can do nothing but POST to a URL.
///
/// Such a URL stands in the logs of every proxy on its way: keep the token out of one's own, and replace it now and then.
///
/// ```
/// use hookwire::receive::{Arrival, Guard, PathGuard};
///
/// let guard = PathGuard::new(&"Zk3v9QpX7rT2mB8wLc5nH1yD".parse()?)?;
/// let headers = http::HeaderMap::new();
/// assert!(guard.admits(&Arrival::new(&headers).with_path("/hooks/Zk3v9QpX7rT2mB8wLc5nH1yD")));
/// assert!(!guard.admits(&Arrival::new(&headers).with_path("/hooks/")));
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
    /// [`ErrorKind::Secret`] for a token of fewer than 22 characters, which is less than 128 bits of base64url, and for one with
    /// other characters than letters, digits, `-`, `_`, `.` and `~`, which stand in a path as they are (RFC 3986 section 2.3).
    pub fn new(token: &Secret) -> Result<Self, Error> {
        let text = token.expose();
        let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte));
        if text.len() < LEAST || !is_plain {
            return Err(Error::new(
                ErrorKind::Secret,
                format!(
                    "path token is too short or not plain, expected at least {LEAST} of A-Z, a-z, 0-9, - _ . ~"
                ),
            ));
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

const LEAST: usize = 22;
