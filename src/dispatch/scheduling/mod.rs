//! The scheduler: which subscriptions a claim takes from, and how many deliveries of each. Pure: it does no
//! I/O, and time is an argument.
//!
//! The store knows when each delivery is due, and the contract's schedule decides that alone. The scheduler
//! only shares what is scarce: the dispatcher's slots (the attempts that it may have in flight) and the rows
//! of a claim. While there is capacity, every delivery is attempted when it is due. Nothing is delayed
//! because earlier attempts failed.
//!
//! **Classes.** Each subscription has a [`Lane`](lane::Lane), and each lane has a [`Class`]:
//!
//! | class | endpoints | slots of *n* |
//! |---|---|---|
//! | `Fast` | the last attempt was answered, with any status; slots are held for less than 1 s on average | all |
//! | `Slow` | the last attempt was answered; slots are held for longer, or no answer comes any more | with the classes below, 3/4 |
//! | `Fresh` | never tried by this process, and woken for a new event while there was room | with the classes below, 1/4 |
//! | `Unknown` | never tried by this process | with `Silent`, 7/8 of that quarter |
//! | `Silent` | the last attempt got no answer, or the store's record says that the endpoint fails | 3/4 of that quarter |
//!
//! So slow endpoints leave a quarter of the slots to fast ones, and a thousand endpoints that hang leave room
//! to an endpoint that is tried for the first time. A fast endpoint that stops answering is slow after 16 of
//! its mean times, at least a quarter of a second. Those that stop at once keep the slots that they hold
//! until their attempts time out, which may be all slots, and get no more than slow endpoints do. An
//! endpoint leaves the last three classes with its first answer. While endpoints that answer have something
//! to claim, the last three classes get a quarter of the claimed rows. [`Capacity`](capacity::Capacity)
//! counts.
//!
//! **Order.** Within these bounds capacity is shared max-min fair: the next slot goes to the organization
//! that holds the fewest, and there to the subscription that holds the fewest; of equals, to the one that has
//! waited longest for its turn. Endpoints that answer and endpoints that do not are counted apart. So each
//! unknown endpoint has one slot before any has a second. [`FairQueue`](fair_queue::FairQueue) keeps the
//! order in trees: a claim costs the same whether ten subscriptions have something due or ten thousand.
//!
//! **Reservations.** An outbox may take a slot for a delivery before it inserts it, if nothing of the lane is
//! known to be due and its endpoint answered last. The first half of the slots is taken by whoever comes; the
//! second half by those who come before all that wait for a claim. Inserts that are on their way hold at most
//! half of the slots, so that claims go on while inserts take long.
//!
//! **Limits.** A lane holds at most the operator's cap of slots, and claims at most at the operator's rate.
//! The subscription's own cap and rate lower both and raise neither. A pause that an endpoint asked for
//! (`Retry-After` with 429 or 503) holds its lane alone.

mod capacity;
mod class;
mod endpoint;
mod fair_queue;
mod known;
mod lane;
mod limits;
mod organizations;
mod scheduler;

pub(super) use endpoint::End;
pub(super) use known::Known;
pub(super) use limits::Limits;
pub(super) use scheduler::{Scheduler, Taken};
