//! The worker: the order of events, failures, retries, and shutdown.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hookwire::receive::{Arrival, Incident, Job, Receiver, StoredFirst, Worker};
use hookwire::store::{GivenUpRequest, LeaseRequests, StoreErrorKind};
use hookwire::testing::TokioClock;
use hookwire::{Contract, DataError, Envelope, Intake, Jitter, RetryPolicy, allison};
use serde_json::json;
use time::OffsetDateTime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::received::stored;

use super::away::Away;
use super::{Arrived, Failure, Log, NOW, SECOND, call, event, receiver, store};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn each_event_is_handled_once_and_typed() {
    let receiver = receiver(store());
    let log = Log::default();
    let handled = log.clone();
    let worker = receiver.worker(move |event: Arrived| {
        let handled = handled.clone();
        async move {
            let event = event?;
            handled.add(format!("{} {}", event.id, event.event_type()));
            Ok(())
        }
    });
    for id in ["evt_1", "evt_2", "evt_1"] {
        keep(&receiver, id, NOW).await;
    }
    let worked = worker.step(NOW).await.unwrap();
    assert_eq!((worked.done, worked.retried, worked.given_up, worked.next_due), (2, 0, 0, None));
    assert_eq!(worker.step(NOW + MINUTE).await.unwrap().done, 0);
    assert_eq!(log.lines(), ["evt_1 call.ended", "evt_2 call.ended"]);
}

#[tokio::test(start_paused = true)]
async fn a_worker_is_woken_when_something_is_kept_and_does_not_wait_for_its_next_look() {
    let stage = Stage::new(receiver(store()));
    let (clock, log) = (stage.clock.clone(), stage.log.clone());
    let running = stage.run(
        stage
            .worker(move |event: Arrived| {
                log.add(format!("{} at {}", event.unwrap().id, at(&clock)));
                async { Ok(()) }
            })
            .with_poll_interval(60 * MINUTE),
    );
    sleep(Duration::from_millis(70)).await;
    stage.keep("evt_1").await;
    sleep(SECOND).await;
    stage.keep("evt_2").await;
    sleep(SECOND).await;
    assert_eq!(stage.log.lines(), ["evt_1 at 70 ms", "evt_2 at 1070 ms"]);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_another_process_keeps_is_found_at_the_next_look() {
    let stage = Stage::new(receiver(store()));
    let (clock, log) = (stage.clock.clone(), stage.log.clone());
    let running = stage.run(stage.worker(move |_: Arrived| {
        log.add(at(&clock));
        async { Ok(()) }
    }));
    sleep(Duration::from_millis(300)).await;
    // A receiver that shares only the store with the worker.
    let other = receiver(stage.receiver.intake().clone());
    keep(&other, "evt_1", stage.clock_now()).await;
    sleep(5 * SECOND).await;
    assert_eq!(stage.log.lines(), ["1000 ms"]);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_event_that_fails_is_tried_again_as_the_policy_says_and_then_given_up_visibly() {
    let stage = Stage::new(receiver(store()));
    let (clock, log, told) = (stage.clock.clone(), stage.log.clone(), stage.log.clone());
    let worker = stage
        .worker(move |_: Arrived| {
            log.add(format!("tried at {}", at(&clock)));
            async {
                let cause = std::io::Error::other("the disk is full");
                Err(Box::new(Wrapped(cause)) as Failure)
            }
        })
        .with_retry(policy([SECOND, 10 * SECOND]))
        .with_observer(move |incident| told.add(incident.to_string()));
    let running = stage.run(worker);
    stage.keep("evt_1").await;
    sleep(MINUTE).await;
    assert_eq!(
        stage.log.lines(),
        [
            "tried at 0 ms",
            "attempt 1 at event evt_1 of allison failed, next in 1s: not saved: the disk is full",
            "tried at 1000 ms",
            "attempt 2 at event evt_1 of allison failed, next in 10s: not saved: the disk is full",
            "tried at 11000 ms",
            "event evt_1 of allison is given up: not saved: the disk is full",
        ]
    );
    let given_up = stage.given_up().await;
    let [given_up] = &given_up[..] else { panic!("one event is given up: {given_up:?}") };
    assert_eq!((given_up.attempts, given_up.reason.as_str()), (3, "not saved: the disk is full"));
    assert_eq!(given_up.request.body, call("evt_1", NOW).body);

    // Put the mended request back.
    let intake = stage.receiver.intake();
    assert!(intake.put_back(&given_up.request.key, stage.clock_now()).await.unwrap());
    sleep(2 * SECOND).await;
    // The next poll finds it within a second.
    assert!(stage.log.lines()[6].starts_with("tried at 60"), "{:?}", stage.log.lines());
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_its_event_one_attempt_and_others_nothing() {
    let stage = Stage::new(receiver(store()));
    let log = stage.log.clone();
    let tries = Arc::new(AtomicUsize::new(0));
    let worker = stage
        .worker(move |event: Arrived| {
            let id = event.unwrap().id.to_string();
            // The failure comes before the handler returns a future.
            let number = tries.fetch_add(usize::from(id == "evt_1"), Ordering::SeqCst);
            assert!(id != "evt_1" || number != 0, "at once");
            let log = log.clone();
            async move {
                assert!(id != "evt_1" || number != 1, "later, with {number}");
                log.add(id);
                Ok(())
            }
        })
        .with_retry(policy([SECOND, SECOND]));
    let told = stage.log.clone();
    let running = stage.run(worker.with_observer(move |incident| {
        if let Incident::Failed { reason, attempt, .. } = incident {
            told.add(format!("{attempt}: {reason}"));
        }
        panic!("an observer's own");
    }));
    stage.keep("evt_1").await;
    stage.keep("evt_2").await;
    sleep(MINUTE).await;
    let mut lines = stage.log.lines();
    lines.sort();
    assert_eq!(
        lines,
        ["1: handler panicked: at once", "2: handler panicked: later, with 1", "evt_1", "evt_2"]
    );
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_end_in_time_has_failed() {
    let stage = Stage::new(receiver(store()));
    let worker = stage
        .worker(|_: Arrived| std::future::pending::<Result<(), Failure>>())
        .with_deadline(90 * SECOND)
        .with_retry(RetryPolicy::none());
    let running = stage.run(worker);
    stage.keep("evt_1").await;
    sleep(89 * SECOND).await;
    assert!(stage.given_up().await.is_empty());
    sleep(2 * SECOND).await;
    assert_eq!(stage.given_up().await[0].reason, "handler did not end within 90s");
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_handled_for_longer_than_its_lease_stays_its_workers() {
    let stage = Stage::new(receiver(store()));
    let worker = || {
        let log = stage.log.clone();
        stage
            .worker(move |_: Arrived| {
                log.add("begun");
                let log = log.clone();
                async move {
                    sleep(100 * SECOND).await;
                    log.add("done");
                    Ok(())
                }
            })
            .with_lease(10 * SECOND)
    };
    let (first, second) = (stage.run(worker()), stage.run(worker()));
    stage.keep("evt_1").await;
    sleep(5 * MINUTE).await;
    assert_eq!(stage.log.lines(), ["begun", "done"]);
    first.end().await;
    second.end().await;
}

#[tokio::test(start_paused = true)]
async fn no_more_are_handled_at_once_than_the_cap() {
    let stage = Stage::new(receiver(store()));
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counts, highest) = (Arc::clone(&now), Arc::clone(&most));
    let worker = stage
        .worker(move |_: Arrived| {
            let (counts, highest) = (Arc::clone(&counts), Arc::clone(&highest));
            async move {
                highest.fetch_max(counts.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                sleep(SECOND).await;
                counts.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            }
        })
        .with_max_concurrent(3);
    for number in 0..10 {
        stage.keep(&format!("evt_{number}")).await;
    }
    let running = stage.run(worker);
    // Ten events of a second each, three at a time: the place of a finished event is used at once.
    sleep(Duration::from_millis(4_100)).await;
    assert_eq!((most.load(Ordering::SeqCst), now.load(Ordering::SeqCst)), (3, 0));
    assert_eq!(stage.due_now().await, 0);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_handled_while_the_store_was_away_is_settled_when_it_is_back() {
    let away = Away::new(store());
    let stage = Stage::new(receiver(away.clone()));
    let log = stage.log.clone();
    let worker = stage
        .worker(move |event: Arrived| {
            log.add(event.unwrap().id.to_string());
            async { Ok(()) }
        })
        .with_max_concurrent(2);
    for number in 0..5 {
        stage.keep(&format!("evt_{number}")).await;
    }
    away.fail("settle_requests", StoreErrorKind::Unavailable);
    let running = stage.run(worker);
    sleep(30 * SECOND).await;
    // The worker leases only as many as it has room for, and waits between its tries.
    assert_eq!(stage.log.lines().len(), 2);
    assert!((5..20).contains(&away.count("settle_requests")), "{}", away.count("settle_requests"));
    away.fail("all", StoreErrorKind::Unavailable);
    sleep(20 * SECOND).await;
    away.come_back();
    sleep(10 * SECOND).await;
    assert_eq!(stage.log.lines(), ["evt_0", "evt_1", "evt_2", "evt_3", "evt_4"]);
    sleep(5 * MINUTE).await;
    assert_eq!(stage.log.lines().len(), 5);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn results_that_were_written_and_reported_as_failed_reach_the_observer() {
    let away = Away::new(store());
    let stage = Stage::new(receiver(away.clone()));
    let told = stage.log.clone();
    let worker = stage
        .worker(|event: Arrived| {
            let fails = event.unwrap().id.as_str() == "evt_1";
            async move { if fails { Err(Failure::from("bad")) } else { Ok(()) } }
        })
        .with_retry(RetryPolicy::none())
        .with_observer(move |incident| told.add(incident.to_string()));
    away.lose_next_answer();
    stage.keep("evt_1").await;
    stage.keep("evt_2").await;
    let running = stage.run(worker);
    sleep(MINUTE).await;
    running.end().await;
    let lines = stage.log.lines();
    assert!(lines.iter().any(|line| line.starts_with("call `settle_requests`")), "{lines:?}");
    assert!(lines.contains(&"event evt_1 of allison is given up: bad".to_owned()), "{lines:?}");
    assert_eq!(lines.len(), 2, "a repeated success is not stale: {lines:?}");
}

#[tokio::test(start_paused = true)]
async fn a_settlement_that_is_refused_costs_no_others() {
    let away = Away::new(store());
    let stage = Stage::new(receiver(away.clone()));
    let log = stage.log.clone();
    away.refuse_more_than(1);
    let worker = stage.worker(move |event: Arrived| {
        log.add(event.unwrap().id.to_string());
        async { Ok(()) }
    });
    for number in 0..5 {
        stage.keep(&format!("evt_{number}")).await;
    }
    let running = stage.run(worker);
    sleep(10 * MINUTE).await;
    assert_eq!(stage.log.lines().len(), 5);
    assert!(away.count("settle_requests") >= 6, "a batch, and each alone");
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_takes_nothing_more_and_lets_what_is_handled_end() {
    let stage = Stage::new(receiver(store()));
    let log = stage.log.clone();
    let worker = stage
        .worker(move |event: Arrived| {
            let log = log.clone();
            async move {
                sleep(10 * SECOND).await;
                log.add(event?.id.to_string());
                Ok(())
            }
        })
        .with_lease(3 * SECOND);
    let running = stage.run(worker);
    stage.keep("evt_1").await;
    sleep(SECOND).await;
    let running = running.shut_down();
    stage.keep("evt_2").await;
    // The worker extends the lease meanwhile, so no other worker gets the event.
    sleep(8 * SECOND).await;
    assert_eq!(stage.due_now().await, 1);
    running.ended().await;
    assert_eq!((stage.log.lines(), at(&stage.clock)), (vec!["evt_1".to_owned()], "10000 ms".to_owned()));
    sleep(MINUTE).await;
    assert_eq!(stage.due_now().await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_hands_back_what_does_not_end_in_time_and_counts_no_attempt() {
    let stage = Stage::new(receiver(store()));
    let worker = stage
        .worker(|_: Arrived| std::future::pending::<Result<(), Failure>>())
        .with_drain_deadline(5 * SECOND);
    let running = stage.run(worker);
    stage.keep("evt_1").await;
    sleep(SECOND).await;
    running.end().await;
    assert_eq!(at(&stage.clock), "6000 ms");
    let taken = stage.take().await;
    assert_eq!(taken, [("evt_1".to_owned(), 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_a_store_that_stays_away() {
    let away = Away::new(store());
    let stage = Stage::new(receiver(away.clone()));
    let running = stage.run(stage.worker(|_: Arrived| async { Ok(()) }));
    away.fail("settle_requests", StoreErrorKind::Unavailable);
    stage.keep("evt_1").await;
    sleep(SECOND).await;
    running.end().await;
    assert!(stage.clock_now() < NOW + MINUTE);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_kills_its_process_is_given_up_in_the_end() {
    let stage = Stage::new(receiver(store()));
    let told = stage.log.clone();
    let handled = stage.log.clone();
    let worker = stage
        .worker(move |_: Arrived| {
            handled.add("handled");
            async { Ok(()) }
        })
        .with_retry(policy([SECOND, SECOND]))
        .with_observer(move |incident| told.add(incident.to_string()));
    stage.keep("evt_1").await;
    for _ in 0..3 {
        // Lease the event like processes that die while they handle it.
        assert_eq!(stage.take().await.len(), 1);
        sleep(MINUTE).await;
    }
    let worked = worker.step(stage.clock_now()).await.unwrap();
    assert_eq!((worked.done, worked.given_up), (0, 1));
    let expected = "no attempts left; the last one ended without a result";
    assert_eq!(stage.log.lines(), [format!("event evt_1 of allison is given up: {expected}")]);
    assert_eq!(stage.given_up().await[0].reason, expected);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_ended_under_a_handler_is_told_and_changes_nothing() {
    let stage = Stage::new(receiver(Away::new(store())));
    let told = stage.log.clone();
    let worker = stage
        .worker(|_: Arrived| async {
            sleep(100 * SECOND).await;
            Ok(())
        })
        .with_max_concurrent(1)
        .with_observer(move |incident| told.add(incident.to_string()));
    let running = stage.run(worker);
    stage.keep("evt_1").await;
    sleep(SECOND).await;
    stage.receiver.intake().fail("extend_requests", StoreErrorKind::Unavailable);
    sleep(70 * SECOND).await;
    assert_eq!(stage.take().await, [("evt_1".to_owned(), 2)]);
    sleep(50 * SECOND).await;
    let lines = stage.log.lines();
    assert!(lines.contains(&"lease of event evt_1 of allison ended before its attempt did".to_owned()));
    assert!(lines.iter().any(|line| line.contains("`extend_requests`")), "{lines:?}");
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn data_that_does_not_fit_reaches_the_handler_as_it_came() {
    let receiver = receiver(store());
    let request = event("evt_1", "call.ended", json!({"call_id": 7}), NOW);
    stored(&receiver, Arrival::post(&request.headers), &request.body, NOW).await.unwrap();
    let log = Log::default();
    let told = log.clone();
    let worker = receiver.worker(move |event: Arrived| {
        let error: Box<DataError> = event.unwrap_err();
        told.add(format!("{} {} {}", error.id().unwrap(), error.field(), error.data()));
        async { Ok(()) }
    });
    assert_eq!(worker.step(NOW).await.unwrap().done, 1);
    assert_eq!(log.lines(), [r#"evt_1 call_id {"call_id":7}"#]);
}

#[tokio::test(start_paused = true)]
async fn types_that_were_not_asked_for_are_done_without_the_handler() {
    let receiver = receiver(store());
    let request = event("evt_1", "contact.created", json!({"contact_id": "c"}), NOW);
    stored(&receiver, Arrival::post(&request.headers), &request.body, NOW).await.unwrap();
    keep(&receiver, "evt_2", NOW).await;
    let log = Log::default();
    let told = log.clone();
    let worker = receiver.worker(move |event: Result<Envelope<allison::CallEnded>, Box<DataError>>| {
        told.add(event.unwrap().id.to_string());
        async { Ok(()) }
    });
    assert_eq!(worker.step(NOW).await.unwrap().done, 2);
    assert_eq!(log.lines(), ["evt_2"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_handled_in_one_call_and_each_of_it_told_of() {
    let stage = Stage::new(receiver(store()));
    let log = stage.log.clone();
    let worker = stage.receiver.worker_in_batches(3, move |jobs: Vec<Job<allison::Event>>| {
        let ids: Vec<_> = jobs.iter().map(|job| job.key.id.to_string()).collect();
        log.add(ids.join(" "));
        async move {
            let told = |job: Job<allison::Event>| -> Result<(), Failure> {
                assert_eq!((job.event?.id, job.attempt, job.received_at), (job.key.id.clone(), 1, NOW));
                if job.key.id.as_str() == "evt_1" { Err("not this one".into()) } else { Ok(()) }
            };
            // The handler returns no results for the last batch.
            if jobs.len() < 3 { Vec::new() } else { jobs.into_iter().map(told).collect() }
        }
    });
    let worker = worker.with_retry(RetryPolicy::none());
    for number in 0..5 {
        stage.keep(&format!("evt_{number}")).await;
    }
    let worked = worker.step(NOW).await.unwrap();
    assert_eq!(stage.log.lines(), ["evt_0 evt_1 evt_2", "evt_3 evt_4"]);
    assert_eq!((worked.done, worked.given_up), (2, 3));
    let reasons: Vec<_> =
        stage.given_up().await.into_iter().map(|up| format!("{} {}", up.request.key.id, up.reason)).collect();
    let short = "handler told of 0 of 2 events";
    assert_eq!(
        reasons,
        ["evt_1 not this one".to_owned(), format!("evt_3 {short}"), format!("evt_4 {short}")]
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_batch_is_told_of_goes_past_what_the_handler_was_not_asked_about() {
    let stage = Stage::new(receiver(store()));
    let other = event("evt_0", "contact.created", json!({"contact_id": "c"}), NOW);
    stored(&stage.receiver, Arrival::post(&other.headers), &other.body, NOW).await.unwrap();
    for number in 1..4 {
        stage.keep(&format!("evt_{number}")).await;
    }
    let worker = stage.receiver.worker_in_batches(4, async |jobs: Vec<Job<allison::CallEnded>>| {
        // The handler returns no result for the last event.
        let told = |job: &Job<allison::CallEnded>| match job.key.id.as_str() {
            "evt_1" => Err("not this one".into()),
            _ => Ok(()),
        };
        jobs.iter().take(2).map(told).collect()
    });
    let worked = worker.with_retry(RetryPolicy::none()).step(NOW).await.unwrap();
    assert_eq!((worked.done, worked.given_up), (2, 2));
    let reasons: Vec<_> =
        stage.given_up().await.into_iter().map(|up| format!("{} {}", up.request.key.id, up.reason)).collect();
    assert_eq!(reasons, ["evt_1 not this one", "evt_3 handler told of 2 of 3 events"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_told_of_after_its_lease_is_handed_back_and_not_handled() {
    let away = Away::new(store());
    let stage = Stage::new(receiver(away.clone()));
    let (log, clock) = (stage.log.clone(), stage.clock.clone());
    let worker = stage.worker(move |event: Arrived| {
        log.add(format!("{} at {}", event.unwrap().id, at(&clock)));
        async { Ok(()) }
    });
    away.delay_next_taking(70 * SECOND);
    stage.keep("evt_1").await;
    let running = stage.run(worker);
    sleep(69 * SECOND).await;
    // The first worker's lease has ended, so another worker takes over.
    assert_eq!(stage.take().await, [("evt_1".to_owned(), 2)]);
    sleep(30 * SECOND).await;
    assert!(stage.log.lines().is_empty(), "it is somebody else's: {:?}", stage.log.lines());
    sleep(MINUTE).await;
    let lines = stage.log.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("evt_1 at 1"), "after the other's lease: {lines:?}");
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_is_due_before_the_next_look_is_not_waited_for_any_longer() {
    let stage = Stage::new(receiver(store()));
    let (log, clock) = (stage.log.clone(), stage.clock.clone());
    let worker = stage
        .worker(move |_: Arrived| {
            log.add(at(&clock));
            async {
                sleep(5 * SECOND).await;
                Err("the disk is full".into())
            }
        })
        .with_poll_interval(MINUTE)
        .with_retry(policy([2 * SECOND]));
    stage.keep("evt_1").await;
    let running = stage.run(worker);
    sleep(30 * SECOND).await;
    assert_eq!(stage.log.lines(), ["0 ms", "7000 ms"]);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_event_whose_task_panics_is_due_again_when_its_lease_ends() {
    /// A clock that panics once, on demand.
    struct Broken(TokioClock, Arc<AtomicUsize>);

    impl hookwire::Clock for Broken {
        fn now(&self) -> OffsetDateTime {
            let is_broken = self.1.compare_exchange(1, 2, Ordering::SeqCst, Ordering::SeqCst).is_ok();
            assert!(!is_broken, "a clock that is broken");
            self.0.now()
        }
    }

    let stage = Stage::new(receiver(store()));
    let (log, clock, breaks) = (stage.log.clone(), stage.clock.clone(), Arc::new(AtomicUsize::new(0)));
    let broken = Broken(stage.clock.clone(), Arc::clone(&breaks));
    let worker = stage
        .worker(move |_: Arrived| {
            log.add(at(&clock));
            // The next call of the clock comes from this event's task, at its end.
            let _ = breaks.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst);
            async { Ok(()) }
        })
        .with_clock(broken)
        .with_poll_interval(SECOND);
    stage.keep("evt_1").await;
    let running = stage.run(worker);
    sleep(5 * MINUTE).await;
    let lines = stage.log.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_event_is_given_up_when_its_next_attempt_would_come_too_late() {
    let stage = Stage::new(receiver(store()));
    let worker = stage
        .worker(|_: Arrived| async {
            sleep(15 * SECOND).await;
            Err("the disk is full".into())
        })
        .with_retry(policy([10 * SECOND; 5]).with_max_elapsed(MINUTE).unwrap());
    stage.keep("evt_1").await;
    let running = stage.run(worker);
    sleep(10 * MINUTE).await;
    // The attempts end after 15 s and 40 s. After 65 s a third would have failed, and a fourth would be too
    // late.
    assert_eq!(stage.given_up().await[0].attempts, 3);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn of_a_long_reason_the_beginning_is_kept() {
    let stage = Stage::new(receiver(store()));
    let worker = stage.worker(async |_: Arrived| Err("\u{e9}".repeat(5_000).into()));
    stage.keep("evt_1").await;
    worker.with_retry(RetryPolicy::none()).step(NOW).await.unwrap();
    assert_eq!(stage.given_up().await[0].reason, "\u{e9}".repeat(1_000));
}

#[tokio::test(start_paused = true)]
async fn a_worker_of_its_own_process_takes_what_a_receiver_of_that_source_kept() {
    let store = store();
    let first = receiver(Arc::clone(&store)).with_source("first");
    let second = receiver(Arc::clone(&store)).with_source("second");
    keep(&first, "evt_1", NOW).await;
    keep(&second, "evt_1", NOW).await;
    keep(&second, "evt_2", NOW).await;
    let nothing = async |_: Arrived| Ok(());
    let worker =
        |queue: &str| Worker::new(Contract::allison(), Arc::clone(&store), nothing).with_queue(queue);
    assert_eq!(worker("allison").step(NOW).await.unwrap().done, 0);
    assert_eq!(worker("second").step(NOW).await.unwrap().done, 2);
    assert_eq!(first.worker(nothing).step(NOW).await.unwrap().done, 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_done_is_forgotten_after_the_contracts_window() {
    let contract = Contract::allison().with_dedupe_window(60 * MINUTE);
    let signed = Receiver::signed(contract, &super::secret()).unwrap();
    let stage = Stage::new(signed.with_intake(store()));
    let running = stage.run(stage.worker(async |_: Arrived| Ok(())).with_poll_interval(MINUTE));
    stage.keep("evt_1").await;
    sleep(50 * MINUTE).await;
    assert_eq!(stage.forgotten_by(stage.clock_now()).await, 0);
    let (copy, now) = (call("evt_1", stage.clock_now()), stage.clock_now());
    let arrival = Arrival::post(&copy.headers);
    let kept = stored(&stage.receiver, arrival, &copy.body, now).await.unwrap();
    assert_eq!(kept, StoredFirst::Duplicate, "and the worker has not forgotten it either");
    // The inbox forgets the event within ten minutes of the window's end.
    sleep(25 * MINUTE).await;
    assert_eq!(stage.forgotten_by(stage.clock_now() + 60 * MINUTE).await, 0);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_given_up_ends_visibly_after_its_age() {
    let stage = Stage::new(receiver(store()));
    let told = stage.log.clone();
    let worker = stage
        .worker(async |_: Arrived| Err(Failure::from("bad")))
        .with_retry(RetryPolicy::none())
        .with_poll_interval(60 * MINUTE)
        .with_expiry(120 * MINUTE)
        .with_observer(move |incident| told.add(incident.to_string()));
    let running = stage.run(worker);
    stage.keep("evt_1").await;
    sleep(119 * MINUTE).await;
    assert_eq!(stage.log.lines(), ["event evt_1 of allison is given up: bad"]);
    assert_eq!(stage.given_up().await.len(), 1);
    // Within the ten minutes between two looks.
    sleep(11 * MINUTE).await;
    assert_eq!(stage.log.lines()[1..], ["event evt_1 of allison was given up and is deleted now"]);
    assert!(stage.given_up().await.is_empty());
    running.end().await;
}

/// A receiver, and a clock that follows tokio's paused time.
struct Stage<I> {
    receiver: Receiver<I>,
    clock: TokioClock,
    log: Log,
}

impl<I: Intake + Clone + 'static> Stage<I> {
    fn new(receiver: Receiver<I>) -> Self {
        Self { receiver, clock: TokioClock::new(NOW), log: Log::default() }
    }

    fn worker<F, R>(&self, handler: F) -> Worker
    where
        F: Fn(Arrived) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.receiver.worker(handler).with_clock(self.clock.clone())
    }

    fn run(&self, worker: Worker) -> Running {
        let (shut_down, is_shut_down) = oneshot::channel::<()>();
        let run = async move { worker.run(async move { drop(is_shut_down.await) }).await };
        Running { shut_down, run: tokio::spawn(run) }
    }

    async fn keep(&self, id: &str) {
        keep(&self.receiver, id, self.clock_now()).await;
    }

    fn clock_now(&self) -> OffsetDateTime {
        hookwire::Clock::now(&self.clock)
    }

    async fn given_up(&self) -> Vec<GivenUpRequest> {
        self.receiver.intake().given_up("allison", None, 100).await.unwrap()
    }

    /// Leases due requests for a minute, as a process that then dies. Returns ids and attempts.
    async fn take(&self) -> Vec<(String, u32)> {
        let take = LeaseRequests::new("allison", MINUTE, 100, self.clock_now());
        let taken = self.receiver.intake().lease_requests(&take).await.unwrap();
        taken.requests.iter().map(|taken| (taken.key.id.to_string(), taken.attempt)).collect()
    }

    /// The number of due requests, counted by leasing them for zero seconds.
    async fn due_now(&self) -> usize {
        let take = LeaseRequests::new("allison", Duration::ZERO, 100, self.clock_now());
        self.receiver.intake().lease_requests(&take).await.unwrap().requests.len()
    }

    async fn forgotten_by(&self, now: OffsetDateTime) -> u64 {
        self.receiver.intake().prune_done(100, now).await.unwrap()
    }
}

struct Running {
    shut_down: oneshot::Sender<()>,
    run: JoinHandle<()>,
}

impl Running {
    async fn end(self) {
        self.shut_down().ended().await;
    }

    fn shut_down(self) -> Ending {
        self.shut_down.send(()).unwrap();
        Ending(self.run)
    }
}

struct Ending(JoinHandle<()>);

impl Ending {
    async fn ended(self) {
        self.0.await.unwrap();
    }
}

#[derive(Debug)]
struct Wrapped(std::io::Error);

impl std::fmt::Display for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not saved")
    }
}

impl std::error::Error for Wrapped {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

async fn keep<I: Intake>(receiver: &Receiver<I>, id: &str, now: OffsetDateTime) {
    let request = call(id, now);
    stored(receiver, Arrival::post(&request.headers), &request.body, now).await.unwrap();
}

fn policy(delays: impl IntoIterator<Item = Duration>) -> RetryPolicy {
    RetryPolicy::delays(delays).unwrap().with_jitter(Jitter::None).unwrap()
}

/// The time since the start.
fn at(clock: &TokioClock) -> String {
    format!("{} ms", (hookwire::Clock::now(clock) - NOW).whole_milliseconds())
}
