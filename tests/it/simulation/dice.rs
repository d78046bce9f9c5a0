//! A run's random choices, which all follow from its seed.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// SplitMix64 (Steele, Lea and Flood, 2014). Clones draw from the same sequence.
#[derive(Clone)]
pub(crate) struct Dice(Arc<AtomicU64>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seed)))
    }

    /// New dice, so that one part's draws do not shift another's.
    pub(crate) fn fork(&self) -> Self {
        Self::new(self.next())
    }

    pub(crate) fn next(&self) -> u64 {
        let state =
            self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn within(&self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.next() % (range.end() - range.start() + 1)
    }

    pub(crate) fn percent(&self, chance: u64) -> bool {
        self.within(1..=100) <= chance
    }

    pub(crate) fn permille(&self, chance: u64) -> bool {
        self.within(1..=1000) <= chance
    }

    pub(crate) fn pick<T: Copy>(&self, of: &[T]) -> T {
        of[self.within(0..=of.len() as u64 - 1) as usize]
    }

    /// Whole milliseconds with an even logarithm, so that short times are as likely as long ones.
    pub(crate) fn millis(&self, range: RangeInclusive<u64>) -> Duration {
        let (low, high) = ((*range.start()).max(1) as f64, *range.end() as f64);
        let part = self.within(0..=1_000_000) as f64 / 1e6;
        Duration::from_millis((low * (high / low).powf(part)) as u64)
    }

    pub(crate) fn bytes<const N: usize>(&self) -> [u8; N] {
        std::array::from_fn(|_| self.next() as u8)
    }
}
