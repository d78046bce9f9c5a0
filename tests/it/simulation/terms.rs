//! The platforms' published rules, written again by hand, so that the checks do not use the code under test.

use std::time::Duration;

use hookwire::{Contract, Jitter};

use super::dice::Dice;

pub(crate) struct Terms {
    pub(crate) contract: Contract,
    /// In seconds.
    timeout: u64,
    /// The nominal waits in seconds.
    pub(crate) delays: &'static [u64],
    /// Whether every failure is retried, or only transport errors and 5xx.
    pub(crate) retries_all: bool,
    /// Whether 410 disables the subscription.
    pub(crate) gone: bool,
    pub(crate) is_signed: bool,
    /// Whether the old secret of a rotation signs beside the new one.
    pub(crate) signs_with_all: bool,
    /// The jitter: a wait may be this many hundredths shorter or longer.
    jitter: u32,
    /// The time of failures only after which a subscription is disabled.
    pub(crate) failing_for: Option<Duration>,
    /// The prefix of the ordered event types. The field of the same name orders them.
    pub(crate) ordered_by: Option<&'static str>,
    pub(crate) types: &'static [&'static str],
}

impl Terms {
    pub(crate) fn drawn(dice: &Dice) -> Self {
        const DAY: u64 = 86_400;
        let days = |days| Some(Duration::from_secs(days * DAY));
        let plain = Self {
            contract: Contract::standard_webhooks(),
            timeout: 20,
            delays: &[5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, DAY],
            retries_all: true,
            gone: true,
            is_signed: true,
            signs_with_all: true,
            jitter: 0,
            failing_for: days(5),
            ordered_by: None,
            types: &["call.ended", "call.started", "contact.created"],
        };
        let terms = match dice.within(1..=11) {
            // 60 s, 15 min, 1 h, 6 h and 24 h: 31 and a quarter hours.
            1..=4 => Self {
                contract: Contract::allison(),
                timeout: 10,
                delays: &[60, 900, 3600, 21_600, DAY],
                signs_with_all: false,
                types: &["call.ended", "call.message_taken", "contact.created"],
                ..plain
            },
            5..=6 => Self {
                contract: Contract::allo(),
                delays: &[5, 300, 1800, 7200, 18_000, 36_000, 36_000],
                types: &["call.completed", "call.received", "contact.created"],
                ..plain
            },
            7 => Self {
                contract: Contract::recept_ai(),
                timeout: 10,
                delays: &[30, 60, 120, 240, 480, 960, 1920],
                gone: false,
                failing_for: None,
                types: &["Call Ended", "Call Started", "Quality Score"],
                ..plain
            },
            8..=9 => Self {
                contract: Contract::nectar_desk(),
                timeout: 10,
                delays: &[1, 2, 4],
                retries_all: false,
                gone: false,
                is_signed: false,
                signs_with_all: false,
                jitter: 0,
                failing_for: None,
                ordered_by: Some("call_id"),
                types: &["Call Ended", "Call Abandoned", "Contact Created"],
            },
            10 => Self {
                contract: Contract::allo_v1(),
                timeout: 30,
                delays: &[],
                gone: false,
                is_signed: false,
                failing_for: None,
                types: &["CALL_RECEIVED", "CONTACT_CREATED"],
                ..plain
            },
            _ => plain,
        };
        if terms.delays.is_empty() || dice.percent(60) { terms } else { terms.with_jitter(20) }
    }

    /// No platform publishes a jitter, but a caller may set one.
    fn with_jitter(mut self, jitter: u32) -> Self {
        let retry =
            self.contract.retry().clone().with_jitter(Jitter::Proportional(f64::from(jitter) / 100.0));
        self.contract = self.contract.with_retry(retry.unwrap());
        self.jitter = jitter;
        self
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.delays.len() as u32 + 1
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    pub(crate) fn largest_delay(&self) -> Duration {
        Duration::from_secs(self.delays.iter().copied().max().unwrap_or(0))
    }

    /// The expected state of a delivery after an attempt of this number with this end.
    pub(crate) fn verdict(&self, number: u32, end: End) -> Verdict {
        let (status, asked) = match end {
            End::Answered { status, asked } => (Some(status), asked),
            End::Failed => (None, None),
        };
        match status {
            Some(200..=299) => return Verdict::Delivered,
            Some(410) if self.gone => return Verdict::Gone,
            Some(..500) if !self.retries_all => return Verdict::Refused,
            _ => {}
        }
        let Some(nominal) = self.delays.get(number as usize - 1) else { return Verdict::Exhausted };
        let asked = asked.unwrap_or_default().min(self.largest_delay());
        let spread = Duration::from_secs(*nominal) * self.jitter / 100;
        let low = (Duration::from_secs(*nominal) - spread).max(asked);
        let high = (Duration::from_secs(*nominal) + spread).max(asked);
        let pause = (matches!(status, Some(429 | 503)) && !asked.is_zero()).then_some(asked);
        Verdict::Retry { low, high, pause }
    }
}

/// The end of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Answered { status: u16, asked: Option<Duration> },
    Failed,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    Delivered,
    Gone,
    Refused,
    Exhausted,
    Retry { low: Duration, high: Duration, pause: Option<Duration> },
}
