//! Breakages of the engine, each of which a check has to find.

use super::checks::Check;

/// A breakage of the engine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Breakage {
    /// A claim takes deliveries of contracts that the dispatcher does not have.
    ClaimsEveryContract,
    /// A claim reads the payload in the newest version.
    ReadsTheNewestVersion,
    /// A delivery that is handed back counts an attempt.
    SpendsAttemptsOnOwnFaults,
    /// Nothing expires.
    ExpiresNothing,
    /// Deliveries expire after half their time.
    ExpiresEarly,
    /// A retry is due after half its wait.
    RetriesEarly,
    /// A claim that takes a retry takes three seconds.
    ClaimsRetriesLate,
    /// A claim waits while an endpoint that does not answer has an attempt in flight.
    WaitsForTheSilent,
    /// An attempt that failed is settled as the last one.
    GivesUpEarly,
    /// A claim takes more of each subscription than its share.
    ClaimsMoreThanTheShare,
    /// Nobody sends what an insert has leased.
    LosesWhatIsHandedOver,
}

impl Breakage {
    pub(super) const ALL: [Self; 11] = [
        Self::ClaimsEveryContract,
        Self::ReadsTheNewestVersion,
        Self::SpendsAttemptsOnOwnFaults,
        Self::ExpiresNothing,
        Self::ExpiresEarly,
        Self::RetriesEarly,
        Self::ClaimsRetriesLate,
        Self::WaitsForTheSilent,
        Self::GivesUpEarly,
        Self::ClaimsMoreThanTheShare,
        Self::LosesWhatIsHandedOver,
    ];

    pub(super) const fn check(self) -> Check {
        match self {
            Self::ClaimsEveryContract => Check::Contract,
            Self::ReadsTheNewestVersion => Check::Version,
            Self::SpendsAttemptsOnOwnFaults => Check::OwnFault,
            Self::ExpiresNothing | Self::ExpiresEarly => Check::Wait,
            Self::RetriesEarly => Check::Early,
            Self::ClaimsRetriesLate => Check::Late,
            Self::WaitsForTheSilent | Self::LosesWhatIsHandedOver => Check::Delay,
            Self::ClaimsMoreThanTheShare => Check::Share,
            Self::GivesUpEarly => Check::End,
        }
    }
}
