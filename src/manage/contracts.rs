//! The contracts of a [`Service`]: the terms of each subscription, and the versions of its data.

use serde_json::Value;

use super::build;
use super::error::ManageError;
use super::service::Service;
use crate::contract::{Contract, ContractId, Versions};
use crate::error::{Error, ErrorKind};
use crate::event::{Envelope, EventId, RawEvent};
use crate::subscription::{Condition, EventFilter, Subject, Subscription};

impl<S> Service<S> {
    /// Adds a contract that subscriptions may speak, in its newest version and the older ones of a chain.
    ///
    /// A caller names the contract of a new subscription; without a name it is the one that the service was
    /// made with.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Contract`] where the service has a contract of this name.
    pub fn with_contract(mut self, versions: impl Into<Versions>) -> Result<Self, Error> {
        let versions = versions.into();
        let name = versions.newest().name();
        if self.named(name).is_some() {
            let what = format!("contract `{name}` is given twice");
            let expected = "each name once; `Versions` holds the versions of a contract";
            return Err(Error::new(ErrorKind::Contract, what).with_expected(expected));
        }
        self.others.push(versions);
        Ok(self)
    }

    /// The contract that the service was made with, in its newest version.
    pub const fn contract(&self) -> &Contract {
        self.first.newest()
    }

    /// Every contract in its newest version, the one that the service was made with first.
    pub fn contracts(&self) -> impl Iterator<Item = &Contract> {
        self.chains().map(Versions::newest)
    }

    pub(super) fn chains(&self) -> impl Iterator<Item = &Versions> {
        std::iter::once(&self.first).chain(&self.others)
    }

    pub(super) fn named(&self, name: &str) -> Option<&Versions> {
        self.chains().find(|versions| versions.newest().name() == name)
    }

    /// The contract of this name in this version, or in its newest if its chain does not have the version.
    pub(super) fn terms(&self, id: &ContractId) -> Option<&Contract> {
        let versions = self.named(id.name())?;
        Some(versions.find(id.version()).unwrap_or_else(|| versions.newest()))
    }

    /// The contract that a subscription speaks, for a change or a test of it.
    pub(super) fn terms_of(&self, subscription: &Subscription) -> Result<&Contract, ManageError> {
        self.terms(&subscription.contract).ok_or_else(|| {
            let what = format!("subscription speaks contract `{}`", subscription.contract.name());
            ManageError::conflict(what, format!("one of {}", self.names()))
        })
    }

    /// The contract that a caller asks for, by its name and its version: by default the first one, in its
    /// newest version.
    pub(super) fn chosen(&self, name: Option<&str>, version: Option<&str>) -> Result<&Contract, ManageError> {
        let versions = match name {
            None => &self.first,
            Some(name) => self.named(name).ok_or_else(|| {
                let expected = format!("one of {}", self.names());
                ManageError::refused("contract", "there is no such contract", expected)
            })?,
        };
        version.map_or(Ok(versions.newest()), |version| in_version(versions, version))
    }

    /// The contract that a subscription speaks after a change that names this contract and this version.
    pub(super) fn changed(
        &self,
        subscription: &Subscription,
        name: Option<&str>,
        version: Option<&str>,
    ) -> Result<&Contract, ManageError> {
        let own = subscription.contract.name();
        if name.is_some_and(|name| name != own) {
            let what = "a subscription keeps its contract";
            return Err(ManageError::refused("contract", what, format!("`{own}`, or a new subscription")));
        }
        let terms = self.terms_of(subscription)?;
        match (version, self.named(own)) {
            (Some(version), Some(versions)) => in_version(versions, version),
            _ => Ok(terms),
        }
    }

    /// Has a subscription speak `new`, a version of its contract, if what its filter asks for is there.
    pub(super) fn set_version(
        &self,
        subscription: &mut Subscription,
        new: &Contract,
    ) -> Result<(), ManageError> {
        if subscription.contract == *new.id() {
            return Ok(());
        }
        let patterns: Vec<_> = subscription.filter.patterns().iter().map(ToString::to_string).collect();
        build::events("events", &patterns, new.catalogue())?;
        let old = self.named(subscription.contract.name());
        let old = old.and_then(|versions| versions.find(subscription.contract.version()));
        let (filter, conditions) = (&subscription.filter, subscription.filter.conditions().iter());
        for (at, condition) in conditions.enumerate() {
            let was_there = old.is_none_or(|old| leads_somewhere(condition, filter, old));
            if was_there && !new.catalogue().is_open() && !leads_somewhere(condition, filter, new) {
                let what = format!("it leads nowhere in version `{}`", new.version());
                let expected = "a place in the data of an event that the subscription asks for";
                return Err(ManageError::refused(format!("conditions[{at}]"), what, expected));
            }
        }
        subscription.contract = new.into();
        Ok(())
    }

    fn names(&self) -> String {
        self.contracts().map(Contract::name).collect::<Vec<_>>().join(", ")
    }
}

fn in_version<'a>(versions: &'a Versions, version: &str) -> Result<&'a Contract, ManageError> {
    versions.find(version).ok_or_else(|| {
        let known: Vec<_> = versions.iter().map(Contract::version).collect();
        let what = format!("contract `{}` has no such version", versions.newest().name());
        ManageError::refused("version", what, format!("one of {}", known.join(", ")))
    })
}

/// Whether a condition leads somewhere in a sample of a type that the filter asks for.
fn leads_somewhere(condition: &Condition, filter: &EventFilter, contract: &Contract) -> bool {
    let kinds = contract.catalogue().iter().filter(|kind| filter.matches(kind.name()));
    kinds.map(|kind| (kind.name(), kind.sample())).any(|(name, sample)| {
        let json = match condition.part() {
            Subject::Data => sample.get().as_bytes().to_vec(),
            Subject::Envelope => {
                let event = RawEvent::new(name, sample);
                let encoded = event.and_then(|event| {
                    let at = time::OffsetDateTime::UNIX_EPOCH;
                    contract.encode(&Envelope::from_parts(EventId::from_parts(at, [0; 10]), at, event))
                });
                encoded.map(Vec::from).unwrap_or_default()
            }
        };
        let json: Option<Value> = serde_json::from_slice(&json).ok();
        json.is_some_and(|json| json.pointer(condition.pointer()).is_some())
    })
}
