//! How long a handler has its event for itself, unless the receiver was told.

use std::time::Duration;

use time::OffsetDateTime;

use crate::contract::Contract;

/// The longest that leaves the sender an attempt behind it: a reservation that outlives the sender's last attempt has the event of a
/// process that died refused until nobody sends it any more.
///
/// A quarter of the sender's retries is left to clocks that differ and to the process that has to come up again. Where the sender
/// tries once, no lease saves the event.
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
/// A list of delays is no longer; a policy without a limit that is not past a minute by then is nobody's.
const MOST_ATTEMPTS: usize = 10_001;
