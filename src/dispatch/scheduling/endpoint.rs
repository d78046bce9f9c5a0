//! [`Endpoint`]: the behaviour of an endpoint as this process has seen it; [`End`]: the end of an attempt.

use std::time::Duration;

use super::class::Class;

/// How an attempt ended, as far as the scheduler cares.
#[derive(Clone, Copy, Debug)]
pub(in crate::dispatch) enum End {
    /// The endpoint answered after the slot was held for this time.
    Answered { held: Duration, is_delivered: bool, pause: Option<Duration> },
    /// No answer came within this time.
    Silent,
    /// This side was at fault, which says nothing about the endpoint.
    Ours,
}

/// The behaviour of an endpoint as this process has seen it.
#[derive(Debug, Default)]
pub(super) struct Endpoint {
    /// Whether it answered last; `None` where this process has not tried it.
    answers: Option<bool>,
    /// For how long its attempts hold their slots, in seconds; zero before the first answer.
    mean_held: f64,
    /// Whether it answered fast, and then kept all of its attempts waiting for far longer than usual.
    pub(super) is_stalled: bool,
    /// Whether the store's record says that it fails.
    pub(super) is_failing_by_record: bool,
    /// Whether it may use the room for endpoints that are tried for the first time.
    pub(super) is_fresh: bool,
    /// Whether the last attempt failed, whatever the reason.
    pub(super) is_failing: bool,
}

impl Endpoint {
    pub(super) fn class(&self) -> Class {
        match self.answers {
            Some(true) if self.mean_held < SLOW && !self.is_stalled => Class::Fast,
            Some(true) => Class::Slow,
            Some(false) => Class::Silent,
            None if self.is_fresh => Class::Fresh,
            None if self.is_failing_by_record => Class::Silent,
            None => Class::Unknown,
        }
    }

    pub(super) fn is_untried(&self) -> bool {
        self.answers.is_none()
    }

    /// For how long it may keep all of its attempts waiting until it is stalled.
    pub(super) fn patience(&self) -> time::Duration {
        time::Duration::seconds_f64((PATIENCE * self.mean_held).clamp(LEAST_PATIENCE, SLOW))
    }

    pub(super) fn ended(&mut self, end: End) {
        match end {
            End::Answered { held, is_delivered, .. } => {
                let held = held.as_secs_f64();
                let is_first = self.mean_held == 0.0;
                self.mean_held =
                    if is_first { held } else { self.mean_held + (held - self.mean_held) / WEIGHT };
                self.answers = Some(true);
                self.is_stalled = false;
                self.is_failing = !is_delivered;
            }
            End::Silent => {
                self.answers = Some(false);
                self.is_failing = true;
            }
            End::Ours => {}
        }
    }
}

/// The mean time in seconds from which an endpoint counts as slow.
const SLOW: f64 = 1.0;
/// An answer changes the mean by one part of this many, so that one slow answer makes no endpoint slow and a
/// dozen do.
const WEIGHT: f64 = 8.0;
/// An endpoint is stalled that answers nothing for this many of its mean times, at least a quarter of a
/// second: slots are also held while their deliveries are inserted or claimed.
const PATIENCE: f64 = 16.0;
const LEAST_PATIENCE: f64 = 0.25;

#[cfg(test)]
mod tests {
    use super::*;

    const DELIVERED: End = End::Answered { held: Duration::from_millis(5), is_delivered: true, pause: None };

    fn answered_after(seconds: u64) -> End {
        End::Answered { held: Duration::from_secs(seconds), is_delivered: false, pause: None }
    }

    #[test]
    fn an_answer_of_any_status_makes_an_endpoint_fast_and_silence_makes_it_silent() {
        let mut endpoint = Endpoint::default();
        assert_eq!(endpoint.class(), Class::Unknown);
        endpoint.ended(End::Ours);
        assert_eq!(endpoint.class(), Class::Unknown, "our own fault says nothing");
        endpoint.ended(End::Silent);
        assert_eq!((endpoint.class(), endpoint.is_failing), (Class::Silent, true));
        endpoint.ended(answered_after(0));
        assert_eq!((endpoint.class(), endpoint.is_failing), (Class::Fast, true), "one answer is enough");
        endpoint.ended(DELIVERED);
        assert_eq!((endpoint.class(), endpoint.is_failing), (Class::Fast, false));
    }

    #[test]
    fn the_record_of_an_endpoint_counts_until_it_is_tried() {
        let mut endpoint = Endpoint { is_failing_by_record: true, ..Endpoint::default() };
        assert_eq!(endpoint.class(), Class::Silent);
        endpoint.ended(DELIVERED);
        assert_eq!(endpoint.class(), Class::Fast);
    }

    #[test]
    fn an_endpoint_is_slow_by_the_mean_and_not_by_one_answer() {
        let mut endpoint = Endpoint::default();
        endpoint.ended(answered_after(8));
        assert_eq!(endpoint.class(), Class::Slow);
        let fast = (1..100).find(|_| {
            endpoint.ended(DELIVERED);
            endpoint.class() == Class::Fast
        });
        assert!(fast.is_some_and(|answers| (5..30).contains(&answers)), "{fast:?}");
        endpoint.ended(answered_after(7));
        assert_eq!(endpoint.class(), Class::Slow, "the mean was just below a second");
        (0..50).for_each(|_| endpoint.ended(DELIVERED));
        endpoint.ended(answered_after(7));
        assert_eq!(endpoint.class(), Class::Fast, "one slow answer of many");
    }
}
