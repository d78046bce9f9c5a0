//! The default lease of an event that a handler works on.

use std::time::Duration;

use time::OffsetDateTime;

use crate::contract::Contract;

/// The longest lease that ends before the sender's last attempt, up to a minute. If a process dies with the
/// event reserved and the lease outlives the last attempt, every attempt is refused and the event is lost.
///
/// A quarter of the sender's retry time is left for clocks that differ and for the process to start again. If
/// the sender tries only once, no lease saves the event.
pub(super) fn default_lease(contract: &Contract) -> Duration {
    let mut last = Duration::ZERO;
    for planned in contract.retry().timeline(OffsetDateTime::UNIX_EPOCH).take(MOST_ATTEMPTS) {
        last = planned.elapsed;
        if last * 3 / 4 >= LONGEST {
            return LONGEST;
        }
    }
    if last.is_zero() { LONGEST } else { last * 3 / 4 }
}

const LONGEST: Duration = Duration::from_secs(60);
/// A list of delays is no longer than this. A policy without a limit is past a minute long before.
const MOST_ATTEMPTS: usize = 10_001;
