//! [`Contracts`]: the contracts under which a dispatcher sends.

use std::sync::Arc;

use crate::contract::Contract;
use crate::error::Error;
use crate::transport::Limits;

/// The contracts under which a dispatcher sends, by their names.
#[derive(Clone)]
pub(super) struct Contracts {
    first: Terms,
    /// Each with a name of its own.
    others: Vec<Terms>,
}

/// A contract, and the limits of its requests.
#[derive(Clone)]
pub(super) struct Terms {
    pub(super) contract: Arc<Contract>,
    pub(super) limits: Limits,
}

impl Contracts {
    pub(super) fn new(contract: Contract) -> Self {
        let limits = Limits::new(contract.timeout());
        Self { first: Terms { contract: Arc::new(contract), limits }, others: Vec::new() }
    }

    /// Adds a contract. One that differs from a contract of its name in its data alone adds nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Contract`](crate::ErrorKind::Contract) where it differs from a contract of its name in
    /// how it delivers.
    pub(super) fn add(&mut self, contract: Contract) -> Result<(), Error> {
        if let Some(known) = self.of(contract.name()) {
            return known.contract.check_terms(&contract);
        }
        let limits = Limits { deadline: contract.timeout(), ..self.first.limits.clone() };
        self.others.push(Terms { contract: Arc::new(contract), limits });
        Ok(())
    }

    /// The contract of this name.
    pub(super) fn of(&self, name: &str) -> Option<&Terms> {
        self.iter().find(|terms| terms.contract.name() == name)
    }

    /// The contract that tries longest: for a delivery of which nobody can read the contract.
    pub(super) fn most_patient(&self) -> &Contract {
        let attempts = |terms: &&Terms| terms.contract.retry().max_attempts().unwrap_or(u32::MAX);
        &self.iter().max_by_key(attempts).unwrap_or(&self.first).contract
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Terms> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The names of all.
    pub(super) fn names(&self) -> Vec<String> {
        self.iter().map(|terms| terms.contract.name().to_owned()).collect()
    }

    /// Changes the limits of all.
    pub(super) fn set_limits(&mut self, change: impl Fn(&mut Limits)) {
        std::iter::once(&mut self.first).chain(&mut self.others).for_each(|terms| change(&mut terms.limits));
    }
}
