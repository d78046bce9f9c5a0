//! A lease of zero is raised to the shortest allowed lease.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hookwire::Clock as _;
use hookwire::receive::Arrival;
use hookwire::testing::TokioClock;
use tokio::time::sleep;

use crate::received::stored;

use super::{Arrived, Log, NOW, SECOND, call, receiver, store};

#[tokio::test(start_paused = true)]
async fn a_worker_with_a_lease_of_no_time_handles_what_it_takes() {
    let receiver = receiver(store());
    let request = call("evt_1", NOW);
    stored(&receiver, Arrival::post(&request.headers), &request.body, NOW).await.unwrap();
    let log = Log::default();
    let handled = log.clone();
    let (clock, reads) = (TokioClock::new(NOW), AtomicU32::new(0));
    let worker = receiver
        .worker(move |event: Arrived| {
            handled.add(event.unwrap().id.as_str());
            async { Ok(()) }
        })
        .with_lease(Duration::ZERO)
        .with_clock(move || {
            // A request that is handed back at once would be leased again at once, for ever.
            assert!(reads.fetch_add(1, Ordering::SeqCst) < 1_000, "it turns in a circle");
            clock.now()
        });
    worker.run(sleep(SECOND)).await;
    assert_eq!(log.lines(), ["evt_1"]);
}
