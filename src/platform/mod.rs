//! The platforms. One file holds everything that belongs to one platform: its contract, envelope format,
//! signature scheme, event catalogue with samples, and the extra fields of its subscriptions.
//!
//! A new platform is a new file, a `mod` line here, and a row of [`PLATFORMS`].

pub mod allison;
pub mod allo;
pub mod allo_v1;
pub mod nectar_desk;
mod open;
mod open_struct;
pub mod recept_ai;
mod schedule;
mod standard_webhooks;

use std::str::FromStr;

use crate::contract::Contract;
use crate::error::{Error, ErrorKind};

/// Every contract by its name.
const PLATFORMS: &[(&str, MakeContract)] = &[
    ("allison", Contract::allison),
    ("allo", Contract::allo),
    ("allo_v1", Contract::allo_v1),
    ("nectar_desk", Contract::nectar_desk),
    ("recept_ai", Contract::recept_ai),
    ("standard_webhooks", Contract::standard_webhooks),
];

type MakeContract = fn() -> Contract;

impl Contract {
    /// The names that [`FromStr`] knows.
    ///
    /// ```
    /// use hookwire::Contract;
    ///
    /// for name in Contract::NAMES {
    ///     assert_eq!(name.parse::<Contract>()?.name(), *name);
    /// }
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    pub const NAMES: &'static [&'static str] = &names();
}

/// Reads one of [`Contract::NAMES`].
impl FromStr for Contract {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match PLATFORMS.iter().find(|(known, _)| *known == name) {
            Some((_, contract)) => Ok(contract()),
            None => Err(Error::new(ErrorKind::Contract, "unknown contract")
                .with_expected(format!("one of {}", Self::NAMES.join(", ")))),
        }
    }
}

const fn names() -> [&'static str; PLATFORMS.len()] {
    let mut names = [""; PLATFORMS.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = PLATFORMS[at].0;
        at += 1;
    }
    names
}
