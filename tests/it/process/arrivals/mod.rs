//! Receiving processes that die: a sender repeats each event until some process answers 200. At the end, the
//! application's own table is compared with the sent events.
//!
//! With an inbox, a handler writes its row and commits the event in one transaction, so there is exactly one
//! row for each event. With an intake, a worker writes the rows later: at least one for each event, and more
//! only if a process died between the handler's end and its settlement.

mod book;
mod desk;
mod sender;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

#[cfg(feature = "postgres")]
use self::book::PostgresBook;
use self::book::{Book, SqliteBook};
use self::desk::{Assignment, CONCURRENT, Mode};
use self::sender::Sender;
use super::ledger::Run;
use super::worker::Worker;
use super::{Dice, Outage, SqliteFile, campaign};
#[cfg(feature = "postgres")]
use crate::postgres_server::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inbox_on_sqlite_loses_and_doubles_nothing_by_a_process_that_is_killed_at_any_moment() {
    for (seed, kills) in campaign(12) {
        let file = SqliteFile::new();
        killed::<SqliteBook>(&file.url(), Mode::Inbox, None, seed, kills).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_intake_on_sqlite_loses_nothing_by_a_process_that_is_killed_at_any_moment() {
    for (seed, kills) in campaign(12) {
        let file = SqliteFile::new();
        killed::<SqliteBook>(&file.url(), Mode::Intake, None, seed, kills).await;
    }
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inbox_on_postgres_loses_and_doubles_nothing_by_a_process_or_a_server_that_is_killed() {
    let server = tokio::task::block_in_place(Server::start_durable);
    let outage = || {
        server.kill_all();
        server.restart();
    };
    for (seed, kills) in campaign(12) {
        let url = super::new_database(&server.url(), seed).await;
        killed::<PostgresBook>(&url, Mode::Inbox, Some(&outage), seed, kills).await;
    }
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_intake_on_postgres_loses_nothing_by_a_process_or_a_server_that_is_killed() {
    let server = tokio::task::block_in_place(Server::start_durable);
    let outage = || {
        server.kill_all();
        server.restart();
    };
    for (seed, kills) in campaign(12) {
        let url = super::new_database(&server.url(), seed).await;
        killed::<PostgresBook>(&url, Mode::Intake, Some(&outage), seed, kills).await;
    }
}

/// Runs one process after the other and kills each but the last. The last one handles the rest.
async fn killed<B: Book>(url: &str, mode: Mode, outage: Option<Outage<'_>>, seed: u64, kills: u32) {
    let mut dice = Dice(seed);
    let sender = Sender::start(dice.next());
    let mut start = |name: String| {
        let assignment = Assignment { store: url.to_owned(), name: name.clone(), seed: dice.next(), mode };
        Worker::start_as("process::arrivals::desk::desk", &name, &assignment)
    };
    let mut moments = Dice(seed ^ 1);
    let mut runs: Vec<Run> = Vec::new();
    for round in 0..kills {
        let mut desk = start(format!("r{round}"));
        if round < 2 || moments.one_in(8) {
            desk.said("opening").await;
            // Opening takes a few milliseconds or many, depending on the machine.
            let most = 1_000 << moments.below(7);
            tokio::time::sleep(Duration::from_micros(moments.below(most))).await;
        } else {
            sender.send_to(&desk.said("listening").await);
            tokio::time::sleep(Duration::from_millis(moments.below(600))).await;
            if let Some(outage) = outage.filter(|_| moments.one_in(4)) {
                desk.suffer(outage);
                tokio::time::sleep(Duration::from_millis(moments.below(300))).await;
            }
        }
        runs.push(desk.kill());
    }
    let mut last = start("last".to_owned());
    sender.send_to(&last.said("listening").await);
    let sent = sender.end().await;
    last.tell("drain");
    // First, the leases of the killed processes have to end.
    while !last.has_ended() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    runs.push(last.end());
    prove::<B>(url, mode, seed, &runs, &sent).await;
}

async fn prove<B: Book>(url: &str, mode: Mode, seed: u64, runs: &[Run], sent: &sender::Sent) {
    let book = B::open(url).await.unwrap();
    let mut faults = Vec::new();
    let mut rows: BTreeMap<String, Vec<String>> =
        sent.events.iter().map(|event| (event.clone(), Vec::new())).collect();
    for (event, run) in book.rows().await {
        match rows.get_mut(&event) {
            Some(by) => by.push(run),
            None => faults.push(format!("{run} handled {event}, which nobody sent")),
        }
    }
    let mut doubled = 0;
    for (event, by) in &rows {
        match (mode, by.len()) {
            (_, 0) => faults.push(format!("{event} was answered 200 and is lost")),
            (Mode::Inbox, 1) | (Mode::Intake, 1) => {}
            (Mode::Inbox, _) => faults.push(format!("{event} was handled by {by:?}")),
            (Mode::Intake, count) => {
                doubled += count - 1;
                faults.extend(doubled_without_a_cause(event, by, runs));
            }
        }
    }
    let killed = runs.iter().filter(|run| run.was_killed).count();
    let most = (killed + runs.iter().filter(|run| run.had_outage).count()) * CONCURRENT;
    if doubled > most {
        faults.push(format!("{doubled} events were handled again, {most} were in doubt at the most"));
    }
    let by: HashSet<_> = rows.values().flatten().collect();
    println!(
        "{} {mode:?}, seed {seed}: {killed} kills, {} outages, {} events in {} requests ({} answered 200, {} in doubt), \
         handled by {} processes, {doubled} of them again",
        B::NAME,
        runs.iter().filter(|run| run.had_outage).count(),
        sent.events.len(),
        sent.requests,
        sent.taken,
        sent.in_doubt,
        by.len(),
    );
    let told: Vec<_> = faults.iter().take(20).map(String::as_str).collect();
    let count = faults.len();
    assert!(count == 0, "HOOKWIRE_SEED={seed}: {count} faults, such as\n{}", told.join("\n"));
}

/// Finds rows without an excuse. A killed process may leave its last event to another one. A process may
/// write an event twice if its database went away, or if it lost a lease and reported that.
fn doubled_without_a_cause(event: &str, by: &[String], runs: &[Run]) -> Option<String> {
    let is_right = runs.iter().all(|run| {
        let count = by.iter().filter(|name| **name == run.name).count();
        let stale = run.lines.iter().filter(|line| **line == format!("stale {event}")).count();
        count <= 1 + stale + usize::from(run.had_outage)
    });
    let others: Vec<_> = by.iter().collect::<HashSet<_>>().into_iter().collect();
    let alive = runs.iter().filter(|run| !run.was_killed && others.contains(&&run.name)).count();
    (!is_right || alive > 1).then(|| format!("{event} was handled by {by:?}"))
}
