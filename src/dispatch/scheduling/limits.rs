//! [`Limits`]: how much of an endpoint's capacity a lane may use.

use crate::rate::Rate;
use crate::subscription::Options;

/// The most attempts at once and per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::dispatch) struct Limits {
    pub(in crate::dispatch) cap: u32,
    pub(in crate::dispatch) rate: Option<Rate>,
}

impl Limits {
    /// These limits of the operator, lowered by those of a subscription.
    pub(in crate::dispatch) fn lowered_by(self, options: &Options) -> Self {
        let cap = options.max_in_flight().map_or(self.cap, |own| own.min(self.cap)).max(1);
        let rate = match (self.rate, options.rate()) {
            (Some(rate), Some(own)) => Some(rate.lower(own)),
            (rate, own) => rate.or(own),
        };
        Self { cap, rate }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_second: f64, burst: u32) -> Option<Rate> {
        Some(Rate::new(per_second, burst).unwrap())
    }

    #[test]
    fn a_subscription_lowers_the_operators_limits_and_raises_neither() {
        let operator = Limits { cap: 8, rate: rate(10.0, 20) };
        assert_eq!(operator.lowered_by(&Options::new()), operator);
        let higher = Options::new().with_max_in_flight(64).unwrap().with_rate(100.0, 200).unwrap();
        assert_eq!(operator.lowered_by(&higher), operator);
        let lower = Options::new().with_max_in_flight(2).unwrap().with_rate(1.0, 200).unwrap();
        assert_eq!(operator.lowered_by(&lower), Limits { cap: 2, rate: rate(1.0, 20) });
        let unlimited = Limits { cap: 8, rate: None };
        assert_eq!(unlimited.lowered_by(&lower), Limits { cap: 2, rate: rate(1.0, 200) });
    }
}
