//! [`ContractId`]: a contract's name and the version of its data.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, ErrorKind};

/// A contract's name and the version of its data, such as `allison` and `v1`: what a subscription speaks, and
/// what a delivery was made under.
///
/// The name decides the scheme, the time-out and the retries; the version changes only the data. Both are 1
/// to 64 visible ASCII characters without a slash. The text form is `allison/v1`. A clone is cheap.
///
/// An id that was made of a [`Contract`](crate::Contract) also knows whether that signs, so that a store
/// refuses a subscription without the secret that it needs. Ids are compared by their texts alone.
///
/// ```
/// use hookwire::{Contract, ContractId};
///
/// let id = ContractId::from(&Contract::allison());
/// assert_eq!((id.name(), id.version()), ("allison", "v1"));
/// assert_eq!("allison/v1".parse::<ContractId>()?, id);
/// assert!(ContractId::new("acme/eu", "v1").is_err());
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone, Eq)]
pub struct ContractId {
    /// The name, a slash, the version.
    text: Arc<str>,
    /// The length of the name.
    slash: u8,
    /// Whether the contract signs; `None` if that is not known.
    signs: Option<bool>,
}

impl ContractId {
    /// Makes the id of a contract's name and a version of its data.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Contract`] when either is not 1 to 64 visible ASCII characters without a slash.
    pub fn new(name: &str, version: &str) -> Result<Self, Error> {
        let slash = check("name", name)?;
        check("version", version)?;
        Ok(Self { text: format!("{name}/{version}").into(), slash, signs: None })
    }

    /// The contract's name.
    pub fn name(&self) -> &str {
        &self.text[..usize::from(self.slash)]
    }

    /// The version of its data.
    pub fn version(&self) -> &str {
        &self.text[usize::from(self.slash) + 1..]
    }

    /// The name, a slash and the version, as [`FromStr`] reads it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Sets the version.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Contract`] when it is not 1 to 64 visible ASCII characters without a slash.
    pub fn with_version(&self, version: &str) -> Result<Self, Error> {
        Self::new(self.name(), version).map(|id| Self { signs: self.signs, ..id })
    }

    /// Notes whether the contract signs.
    pub(super) const fn signing(mut self, signs: bool) -> Self {
        self.signs = Some(signs);
        self
    }

    /// Whether the contract is known to sign.
    pub(crate) const fn is_known_to_sign(&self) -> bool {
        matches!(self.signs, Some(true))
    }
}

impl PartialEq for ContractId {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Hash for ContractId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

/// By the name, then by the version.
impl Ord for ContractId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.name(), self.version()).cmp(&(other.name(), other.version()))
    }
}

impl PartialOrd for ContractId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl From<&Self> for ContractId {
    fn from(id: &Self) -> Self {
        id.clone()
    }
}

impl FromStr for ContractId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (name, version) = text.split_once('/').ok_or_else(|| {
            Error::new(ErrorKind::Contract, "contract id has no version")
                .with_expected("a name, a slash and a version")
        })?;
        Self::new(name, version)
    }
}

impl fmt::Display for ContractId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ContractId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl Serialize for ContractId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for ContractId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The length of a part that is right.
fn check(part: &str, text: &str) -> Result<u8, Error> {
    let is_right = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
    match u8::try_from(text.len()) {
        Ok(len @ 1..=LONGEST) if text.bytes().all(is_right) => Ok(len),
        _ => Err(Error::new(ErrorKind::Contract, format!("contract {part} is not usable"))
            .with_expected(format!("1 to {LONGEST} visible ASCII characters without a slash"))),
    }
}

const LONGEST: u8 = 64;
