//! [`RetryPolicy`]: when is the next attempt, and is there one.
//!
//! A pure calculator: the time that has passed, the seed of the jitter and the endpoint's `Retry-After` are
//! arguments, so the same arguments give the same answer on every machine and in every version. A scheduler
//! of your own needs two calls: [`retry_after`] on the response's headers, and [`RetryPolicy::next`].
//!
//! # In a configuration file
//!
//! A policy is read and written by serde. Durations are text with units (`"90s"`, `"1m 30s"`, `"250ms"`,
//! `"2 days"`), so that nobody has to guess whether a number counts seconds. A list of delays, in TOML:
//!
//! ```
//! # let config = r#"
//! delays = ["1m", "15m", "1h"]        # an empty list: one attempt, no retry
//! jitter = { proportional = 0.1 }     # or "none" (the default), "full", "equal", "decorrelated"
//! max_elapsed = "1 day"               # optional, and so is max_attempts
//! # "#;
//! # let policy: hookwire::RetryPolicy = toml::from_str(config)?;
//! # assert_eq!(policy.max_attempts(), Some(4));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Exponential delays:
//!
//! ```
//! # let config = r#"
//! first_delay = "30s"
//! factor = 2
//! max_delay = "1h"                    # optional
//! max_attempts = 8
//! # "#;
//! # let policy: hookwire::RetryPolicy = toml::from_str(config)?;
//! # assert_eq!(policy.largest_delay(), Some(std::time::Duration::from_secs(1920)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Unknown fields and values that make no policy are refused when the file is read, with the text of
//! [`ErrorKind::RetryPolicy`](crate::ErrorKind::RetryPolicy).

mod after;
mod exponential;
mod jitter;
mod plan;
mod policy;
mod settings;
mod timeline;

pub use self::after::{parse_retry_after, retry_after};
pub use self::exponential::Exponential;
pub use self::jitter::Jitter;
pub use self::policy::RetryPolicy;
pub use self::timeline::{Planned, Timeline};
