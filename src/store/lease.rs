//! [`Lease`]: the fencing token of a claim.

/// A fencing token: the number of a row's claim, greater than those of all its claims before.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Lease(u64);

impl Lease {
    /// The lease of this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn number(self) -> u64 {
        self.0
    }
}
