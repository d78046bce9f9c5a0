//! The numbers of receivers and workers.

use std::sync::Arc;
use std::time::Instant;

use metrics::{
    Counter, Key, Label, Level, Metadata, Unit, counter, describe_counter, describe_histogram, histogram,
    with_recorder,
};

use crate::receive::rejection::Rejection;

/// The numbers of a receiver that change with each request.
///
/// Their keys are made once: a key is allocated, even if nobody records.
pub(in crate::receive) struct Numbers {
    accepted: Key,
    duplicates: Key,
}

impl Numbers {
    /// Describes a receiver's numbers, and has each counter begin at zero: an alert on its increase would
    /// miss the first event otherwise.
    pub(in crate::receive) fn begin(provider: &Arc<str>) -> Self {
        describe_counter!(REQUESTS, "Requests, by their outcome and the reason why one was refused.");
        describe_counter!(DUPLICATES, "Copies of events that were handled or stored before.");
        describe_counter!(UNDECODABLE, "Events of known types with data that does not fit.");
        describe_counter!(OVERRUNS, "Events that were handled after their leases had ended.");
        describe_histogram!(DURATION, Unit::Seconds, "How long handlers took.");
        requests(provider, "challenge", "none").increment(0);
        for (outcome, reason) in Rejection::REASONS {
            requests(provider, outcome, reason).increment(0);
        }
        for name in [UNDECODABLE, OVERRUNS] {
            counter!(name, "provider" => Arc::clone(provider)).increment(0);
        }
        let label = || Label::new("provider", Arc::clone(provider));
        let labels = vec![
            label(),
            Label::from_static_parts("outcome", "accepted"),
            Label::from_static_parts("reason", "none"),
        ];
        let numbers = Self {
            accepted: Key::from_parts(REQUESTS, labels),
            duplicates: Key::from_parts(DUPLICATES, vec![label()]),
        };
        counted(&numbers.accepted).increment(0);
        counted(&numbers.duplicates).increment(0);
        numbers
    }

    /// Reports a request that is handled or stored, now or before.
    pub(in crate::receive) fn accepted(&self) {
        counted(&self.accepted).increment(1);
    }

    pub(in crate::receive) fn duplicate(&self) {
        counted(&self.duplicates).increment(1);
    }
}

fn counted(key: &Key) -> Counter {
    with_recorder(|recorder| recorder.register_counter(key, &METADATA))
}

pub(super) fn refused(provider: &Arc<str>, rejection: &Rejection) {
    requests(provider, rejection.outcome(), rejection.reason()).increment(1);
}

fn requests(provider: &Arc<str>, outcome: &'static str, reason: &'static str) -> Counter {
    counter!(REQUESTS, "provider" => Arc::clone(provider), "outcome" => outcome, "reason" => reason)
}

pub(super) fn overran(provider: &Arc<str>) {
    counter!(OVERRUNS, "provider" => Arc::clone(provider)).increment(1);
}

pub(super) fn undecodable(provider: &Arc<str>) {
    counter!(UNDECODABLE, "provider" => Arc::clone(provider)).increment(1);
}

/// Measures how long a handler takes.
pub(in crate::receive) struct Stopwatch(Instant);

impl Stopwatch {
    pub(in crate::receive) fn start() -> Self {
        Self(Instant::now())
    }

    /// Reports how long the handler took, under the label of its receiver or queue.
    pub(in crate::receive) fn stop(self, label: &'static str, name: &Arc<str>) {
        histogram!(DURATION, label => Arc::clone(name)).record(self.0.elapsed().as_secs_f64());
    }
}

static METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));
const REQUESTS: &str = "hookwire_requests_total";
const DUPLICATES: &str = "hookwire_duplicates_total";
const UNDECODABLE: &str = "hookwire_undecodable_events_total";
const OVERRUNS: &str = "hookwire_overruns_total";
const DURATION: &str = "hookwire_handler_duration_seconds";
