//! [`race`]: dials several addresses, one after the other, without waiting for each to fail (RFC 8305 section
//! 5).

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::Poll;

use tokio::time::sleep;

use super::bounds::STAGGER;

/// Returns the first result that is `Ok`. If there is none, returns the first error that `outranks` the
/// others, or the first of all. The next of `dials` begins as soon as one has failed, and after 250 ms at the
/// latest. `None` if there are no dials.
pub(super) async fn race<F, T, E>(
    dials: impl IntoIterator<Item = F>,
    outranks: impl Fn(&E) -> bool,
) -> Option<Result<T, E>>
where
    F: Future<Output = Result<T, E>> + Send,
{
    let mut waiting = dials.into_iter().peekable();
    let mut running: Vec<Pin<Box<F>>> = Vec::new();
    let mut told: Option<E> = None;
    loop {
        running.extend(waiting.next().map(Box::pin));
        if running.is_empty() {
            return told.map(Err);
        }
        let is_more = waiting.peek().is_some();
        loop {
            let ended = tokio::select! {
                biased;
                ended = any(&mut running) => Some(ended),
                () = sleep(STAGGER), if is_more => None,
            };
            match ended {
                Some(Ok(won)) => return Some(Ok(won)),
                Some(Err(error)) if told.as_ref().is_some_and(|told| outranks(told) || !outranks(&error)) => {
                }
                Some(Err(error)) => told = Some(error),
                None => break,
            }
            if is_more || running.is_empty() {
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

    use tokio::time::Instant;

    use super::*;

    /// Runs dials that end after a number of milliseconds, and returns the result and when each began.
    async fn run(dials: &[(u64, Result<u32, u32>)]) -> (Option<Result<u32, u32>>, Vec<u64>) {
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
        let won = race(dials.iter().map(dial), |error| *error >= 100).await;
        (won, starts.into_inner().unwrap())
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
