//! [`race`]: dials several addresses, one after the other, without waiting for each to fail (RFC 8305 section
//! 5).

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::Poll;

use tokio::time::{Instant, sleep_until};

use super::bounds::{GIVE_UP, STAGGER};

/// Returns the first result that is `Ok`. If there is none, returns the first error that `outranks` the
/// others, or the first of all. `None` if there are no dials.
///
/// The next of `dials` begins when one has failed, and after 250 ms at the latest. To run beside another, it
/// needs a permit of `beside`. There is a permit for each dial under way but one, so the last one of them
/// holds none. Without a permit, the others are given up for the next after 2 s, so that a request with one
/// dial under way tries its other addresses all the same.
pub(super) async fn race<F, T, E, P>(
    dials: impl IntoIterator<Item = F>,
    outranks: impl Fn(&E) -> bool,
    beside: impl Fn() -> Option<P>,
) -> Option<Result<T, E>>
where
    F: Future<Output = Result<T, E>> + Send,
{
    let mut waiting = dials.into_iter().peekable();
    let mut running: Vec<Pin<Box<F>>> = Vec::new();
    let mut permits: Vec<P> = Vec::new();
    let mut told: Option<E> = None;
    loop {
        running.extend(waiting.next().map(Box::pin));
        if running.is_empty() {
            return told.map(Err);
        }
        let is_more = waiting.peek().is_some();
        let began = Instant::now();
        let mut patience = STAGGER;
        loop {
            let ended = tokio::select! {
                biased;
                ended = any(&mut running) => Some(ended),
                () = sleep_until(began + patience), if is_more => None,
            };
            match ended {
                Some(Ok(won)) => return Some(Ok(won)),
                Some(Err(error)) if told.as_ref().is_some_and(|told| outranks(told) || !outranks(&error)) => {
                }
                Some(Err(error)) => told = Some(error),
                None if patience < GIVE_UP => patience += STAGGER,
                None => running.clear(),
            }
            permits.truncate(running.len().saturating_sub(1));
            if running.is_empty() {
                break;
            }
            // Without a permit, the next dial waits until it is alone.
            if let Some(permit) = is_more.then(&beside).flatten() {
                permits.push(permit);
                break;
            }
        }
    }
}

/// Waits until one of them ends, and removes it.
async fn any<F: Future>(running: &mut Vec<Pin<Box<F>>>) -> F::Output {
    poll_fn(|context| {
        for at in 0..running.len() {
            if let Poll::Ready(ended) = running[at].as_mut().poll(context) {
                drop(running.swap_remove(at));
                return Poll::Ready(ended);
            }
        }
        Poll::Pending
    })
    .await
}

/// Brings addresses into the order of dialling: the families by turns, beginning with the first address's
/// (RFC 8305 section 4).
pub(super) fn by_turns(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let is_first = |address: &&IpAddr| address.is_ipv4() == addresses[0].is_ipv4();
    let (mut first, mut other) =
        (addresses.iter().filter(is_first), addresses.iter().filter(|a| !is_first(a)));
    let mut ordered = Vec::with_capacity(addresses.len());
    while ordered.len() < addresses.len() {
        ordered.extend(first.next());
        ordered.extend(other.next());
    }
    ordered
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use tokio::sync::Semaphore;
    use tokio::time::sleep;

    use super::*;

    /// Runs dials that end after a number of milliseconds, of which `beside` may be under way beside another,
    /// and returns the result and when each began.
    async fn run_beside(
        beside: usize,
        dials: &[(u64, Result<u32, u32>)],
    ) -> (Option<Result<u32, u32>>, Vec<u64>) {
        let began = Instant::now();
        let starts = Mutex::new(Vec::new());
        let dial = |&(after, result): &(u64, Result<u32, u32>)| {
            let starts = &starts;
            async move {
                starts.lock().unwrap().push(began.elapsed().as_millis() as u64);
                sleep(Duration::from_millis(after)).await;
                result
            }
        };
        let permits = Semaphore::new(beside);
        let won = race(dials.iter().map(dial), |error| *error >= 100, || permits.try_acquire().ok()).await;
        assert_eq!(permits.available_permits(), beside);
        (won, starts.into_inner().unwrap())
    }

    async fn run(dials: &[(u64, Result<u32, u32>)]) -> (Option<Result<u32, u32>>, Vec<u64>) {
        run_beside(100, dials).await
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_permit_one_address_is_dialled_at_a_time_and_each_has_its_turn() {
        const DEAD: u64 = 1_000_000;
        assert_eq!(run_beside(0, &[(DEAD, Ok(1)), (5, Ok(2))]).await, (Some(Ok(2)), vec![0, 2_000]));
        assert_eq!(run_beside(0, &[(900, Err(1)), (5, Ok(2))]).await, (Some(Ok(2)), vec![0, 900]));
        assert_eq!(run_beside(0, &[(1_900, Ok(1)), (5, Ok(2))]).await, (Some(Ok(1)), vec![0]));
        assert_eq!(run_beside(0, &[(DEAD, Ok(1)), (9_000, Ok(2))]).await.0, Some(Ok(2)), "the last has time");
        let dead = [(DEAD, Ok(1)), (DEAD, Ok(2)), (DEAD, Ok(3)), (5, Ok(4))];
        assert_eq!(run_beside(1, &dead).await, (Some(Ok(4)), vec![0, 250, 2_250, 2_500]));
        // The second dial is alone after 300 ms, and the third gets its permit.
        let fails = [(300, Err(1)), (DEAD, Ok(2)), (5, Ok(3))];
        assert_eq!(run_beside(1, &fails).await, (Some(Ok(3)), vec![0, 250, 300]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_dial_that_is_alone_holds_no_permit_and_a_race_that_is_dropped_holds_none() {
        let (began, permits) = (Instant::now(), Semaphore::new(2));
        let dial = |after: u64| async move {
            sleep(Duration::from_millis(after)).await;
            if after < 1_000 { Err::<u32, u32>(1) } else { Ok(2) }
        };
        let dials = [600, 700, 100_000].map(dial);
        let mut race = Box::pin(race(dials, |_| false, || permits.try_acquire().ok()));
        for (until, left) in [(200, 2), (400, 1), (550, 0), (650, 1), (1_000, 2)] {
            tokio::select! {
                biased;
                _ = &mut race => panic!("it has ended"),
                () = sleep_until(began + Duration::from_millis(until)) => {}
            }
            assert_eq!(permits.available_permits(), left, "after {until} ms");
        }
        drop(race);
        assert_eq!(permits.available_permits(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_address_is_dialled_after_a_failure_or_a_quarter_of_a_second() {
        const DEAD: u64 = 1_000_000;
        assert_eq!(run(&[]).await, (None, vec![]));
        assert_eq!(run(&[(10, Ok(1)), (0, Ok(2))]).await, (Some(Ok(1)), vec![0]));
        assert_eq!(run(&[(10, Err(1)), (5, Ok(2)), (0, Ok(3))]).await, (Some(Ok(2)), vec![0, 10]));
        assert_eq!(run(&[(DEAD, Ok(1)), (DEAD, Ok(2)), (5, Ok(3))]).await, (Some(Ok(3)), vec![0, 250, 500]));
        assert_eq!(run(&[(300, Ok(1)), (DEAD, Ok(2))]).await, (Some(Ok(1)), vec![0, 250]), "it goes on");
        assert_eq!(run(&[(10, Err(1)), (20, Err(2))]).await, (Some(Err(1)), vec![0, 10]));
        assert_eq!(run(&[(10, Err(1)), (9, Err(100)), (0, Err(101)), (0, Err(2))]).await.0, Some(Err(100)));
        assert_eq!(run(&[(600, Err(1)), (20, Err(2)), (5_000, Ok(3))]).await.0, Some(Ok(3)));
    }

    #[test]
    fn the_families_take_turns() {
        let [a, b, c] = [1, 2, 3].map(|last| IpAddr::from([192, 0, 2, last]));
        let [x, y] = [1, 2].map(|last| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]));
        assert_eq!(by_turns(&[a, b, c, x, y]), [a, x, b, y, c]);
        assert_eq!(by_turns(&[x, y, a]), [x, a, y]);
        assert_eq!(by_turns(&[]), [] as [IpAddr; 0]);
    }
}
