//! The sending engine compared with its bounds. Every ratio is measured in one run.
//!
//! ```text
//! cargo bench --bench engine --features full                       everything, in about half an hour
//! cargo bench --bench engine --features full -- --quick            a trial run of all parts, in seconds
//! cargo bench --bench engine --features full -- end_to_end sqlite  one part on one store
//! ```
//!
//! The figures of a trial run mean nothing. With `--strict`, a missed bound is a failure. PostgreSQL is
//! measured if it is installed, on a server started for the bench.

mod bad_worlds;
mod bare;
mod batches;
mod end_to_end;
mod event;
mod fan_out;
mod hanging;
mod lists;
mod ours;
mod pipeline;
mod place;
mod postgres;
mod process;
mod queue;
mod receiver;
mod table;

use std::process::ExitCode;

use crate::pipeline::Side;
use crate::place::{Kind, Place};
use crate::postgres::Server;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, arguments @ ..] = arguments.as_slice()
        && flag == "--child"
    {
        child(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await;
        return ExitCode::SUCCESS;
    }
    let settings = Settings { arguments };
    let server = match settings.wants("postgres") {
        true => Server::start().await,
        false => None,
    };
    if settings.wants("end_to_end") {
        end_to_end::run(&settings, server.as_ref()).await;
    }
    if settings.wants("batches") {
        batches::run(&settings, server.as_ref()).await;
    }
    if settings.wants("queue") {
        queue::run(&settings, server.as_ref()).await;
    }
    if settings.wants("fan_out") {
        fan_out::run(&settings, server.as_ref()).await;
    }
    if settings.wants("hanging") {
        hanging::run(&settings, server.as_ref()).await;
    }
    if settings.wants("bad_worlds") {
        bad_worlds::run(&settings, server.as_ref()).await;
    }
    if settings.wants("lists") {
        lists::run(&settings, server.as_ref()).await;
    }
    println!();
    match table::missed() {
        0 => ExitCode::SUCCESS,
        missed => {
            println!("{missed} bounds missed");
            if settings.has("--strict") { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
    }
}

/// The command line.
pub(crate) struct Settings {
    arguments: Vec<String>,
}

impl Settings {
    fn has(&self, argument: &str) -> bool {
        self.arguments.iter().any(|has| has == argument)
    }

    /// Whether a part or a store was chosen: without a name of its kind, all are.
    fn wants(&self, name: &str) -> bool {
        let kind: &[&str] = if PARTS.contains(&name) { &PARTS } else { &STORES };
        self.has(name) || !kind.iter().any(|other| self.has(other))
    }

    /// The chosen stores.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(|kind| self.wants(kind.name()))
    }

    /// The full size of a measurement, or the size of a trial run.
    pub(crate) fn scale(&self, quick: u64, full: u64) -> u64 {
        if self.has("--quick") { quick } else { full }
    }
}

/// Runs a measurement that needs a process of its own.
async fn child(arguments: &[&str]) {
    match arguments {
        ["burst", side, kind, address, events] => {
            let side = if *side == "ours" { Side::Ours } else { Side::Bare };
            end_to_end::child(side, place(kind, address), events.parse().expect("a number")).await;
        }
        ["fan-out", kind, address, subscriptions, payload] => {
            let number = |text: &str| text.parse().expect("a number");
            fan_out::child(place(kind, address), number(subscriptions), number(payload) as usize).await;
        }
        ["fill", kind, address, depth] => {
            hanging::fill(place(kind, address), depth.parse().expect("a number")).await;
        }
        ["dispatch", kind, address] => hanging::dispatch(place(kind, address)).await,
        _ => unreachable!("parts are started by this program alone"),
    }
}

fn place(kind: &str, address: &str) -> Place {
    Place::at(Kind::named(kind).expect("the name of a store"), address)
}

const PARTS: [&str; 7] = ["end_to_end", "batches", "queue", "fan_out", "hanging", "bad_worlds", "lists"];
const STORES: [&str; 3] = ["memory", "sqlite", "postgres"];
