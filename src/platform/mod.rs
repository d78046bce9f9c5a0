//! The platforms: how each one delivers, and what its events are called and hold.

pub mod allison;
pub mod allo;
pub mod allo_v1;
pub mod nectar_desk;
mod open;
pub mod recept_ai;
mod standard_webhooks;

use std::str::FromStr;
use std::time::Duration;

use crate::contract::Contract;
use crate::error::{Error, ErrorKind};
use crate::retry::RetryPolicy;

impl Contract {
    /// The names that [`FromStr`] knows.
    pub const NAMES: [&'static str; 6] =
        ["allison", "allo", "allo_v1", "nectar_desk", "recept_ai", "standard_webhooks"];
}

/// The contract of this name, one of [`Contract::NAMES`].
impl FromStr for Contract {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Ok(match name {
            "allison" => Self::allison(),
            "allo" => Self::allo(),
            "allo_v1" => Self::allo_v1(),
            "nectar_desk" => Self::nectar_desk(),
            "recept_ai" => Self::recept_ai(),
            "standard_webhooks" => Self::standard_webhooks(),
            _ => {
                return Err(Error::new(
                    ErrorKind::Contract,
                    format!("unknown contract, expected one of {}", Self::NAMES.join(", ")),
                ));
            }
        })
    }
}

/// A policy of these delays, in seconds.
fn listed(delays: &[u64]) -> RetryPolicy {
    RetryPolicy::delays(delays.iter().map(|delay| seconds(*delay)))
        .expect("invariant: these delays make a policy")
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
