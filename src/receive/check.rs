//! [`Check`]: how a receiver proves the requests of its sender.

use std::sync::Arc;

use time::OffsetDateTime;

use crate::contract::Contract;
use crate::error::Error;
use crate::receive::arrival::Arrival;
use crate::receive::head::{check_form, check_length};
use crate::receive::provider_check::ProviderCheck;
use crate::receive::rejection::Rejection;
use crate::receive::secret_cache::Secrets;
use crate::signature::{FoundHeaders, Secret, Verified, Verifier};

/// How a receiver proves the requests of its sender.
pub(super) enum Check {
    /// By signatures with secrets that the receiver has.
    Signature(Box<Verifier>),
    /// By signatures with the secrets of the request's tenant.
    Tenants {
        secrets: Arc<dyn Secrets>,
        /// Matches nothing, so that an unknown tenant is answered as slowly as a wrong signature.
        nobody: Box<Verifier>,
    },
    /// By the rule of a provider.
    Provider(Box<ProviderCheck>),
    /// By nothing but guards.
    Unsigned,
}

impl Check {
    /// Finds the headers of the proof, which can be judged before the body arrives.
    pub(super) fn find<'a>(
        &self,
        arrival: &Arrival<'a>,
        content_types: &[Box<str>],
    ) -> Result<Option<FoundHeaders<'a>>, Rejection> {
        match self {
            Self::Signature(verifier) => Ok(Some(verifier.find_headers(arrival.headers)?)),
            Self::Tenants { .. } if arrival.tenant.is_none() => Err(Rejection::UnknownTenant),
            Self::Tenants { nobody, .. } => Ok(Some(nobody.find_headers(arrival.headers)?)),
            Self::Provider(check) => check.judge(arrival, content_types).map(|()| None),
            Self::Unsigned => Ok(None),
        }
    }

    /// Judges the form of a request by its head.
    pub(super) fn check_form(
        &self,
        arrival: &Arrival<'_>,
        max_body: usize,
        content_types: &[Box<str>],
        decodes_gzip: bool,
    ) -> Result<(), Rejection> {
        match self {
            Self::Provider(_) => check_length(arrival, max_body, decodes_gzip),
            _ => check_form(arrival, max_body, content_types, decodes_gzip),
        }
    }

    /// The provider whose requests are received, if it is one.
    pub(super) fn provider(&self) -> Option<&ProviderCheck> {
        match self {
            Self::Provider(check) => Some(check),
            _ => None,
        }
    }

    /// Proves a body by the headers that [`find`](Self::find) found, where nothing has to be looked up;
    /// otherwise `None`. `guard` is the name of a guard that admitted the request.
    pub(super) fn prove<'a>(
        &self,
        guard: Option<&'static str>,
        arrival: &Arrival<'a>,
        found: Option<FoundHeaders<'a>>,
        body: &'a [u8],
        now: OffsetDateTime,
    ) -> Option<Result<Verified<'a>, Rejection>> {
        match (self, found) {
            (Self::Signature(verifier), Some(found)) => {
                Some(verifier.verify_found(found, body, now).map_err(Rejection::from))
            }
            (Self::Unsigned, _) => Some(Ok(match guard {
                Some(guard) => Verified::guarded_at(guard, arrival.headers, body, now),
                None => Verified::dangerous_unsigned_at(arrival.headers, body, now),
            })),
            _ => None,
        }
    }

    /// Proves a body with the secrets of its tenant, or by the rule of a provider, which may have to be
    /// looked up first.
    pub(super) async fn prove_slowly<'a>(
        &self,
        contract: &Contract,
        content_types: &[Box<str>],
        arrival: &Arrival<'a>,
        found: Option<FoundHeaders<'a>>,
        body: &'a [u8],
        now: OffsetDateTime,
    ) -> Result<Verified<'a>, Rejection> {
        if let Self::Provider(check) = self {
            return check.prove(arrival, content_types, body, now).await;
        }
        // `find` refuses a request without the headers or without a tenant.
        let (Self::Tenants { secrets, nobody }, Some(found), Some(tenant)) = (self, found, arrival.tenant)
        else {
            return Err(Rejection::UnknownTenant);
        };
        let secrets = secrets.secrets_of(tenant, now).await.map_err(Rejection::Secrets)?;
        match verifier_of(contract, &secrets).map_err(|error| Rejection::Secrets(error.into()))? {
            Some(verifier) => Ok(verifier.verify_found(found, body, now)?),
            None => {
                nobody.verify_found(found, body, now)?;
                Err(Rejection::UnknownTenant)
            }
        }
    }

    /// The name of the request's sender in the inbox, if the tenants of `source` have names of their own.
    pub(super) fn source(&self, source: &str, arrival: &Arrival<'_>) -> Option<Arc<str>> {
        match (self, arrival.tenant) {
            (Self::Tenants { .. }, Some(tenant)) => Some(format!("{source}/{tenant}").into()),
            (Self::Provider(check), Some(tenant)) if check.has_tenants() => {
                Some(format!("{source}/{tenant}").into())
            }
            _ => None,
        }
    }
}

/// A verifier with all secrets that have the form which the contract demands, or `None` without secrets.
fn verifier_of(contract: &Contract, secrets: &[Secret]) -> Result<Option<Verifier>, Error> {
    verifier_of_all(contract, secrets).or_else(|error| {
        // A malformed secret proves nothing, but is no reason to refuse what another one proves.
        let is_good = |secret: &&Secret| contract.verifier(secret).is_ok();
        let good: Vec<_> = secrets.iter().filter(is_good).cloned().collect();
        if good.is_empty() { Err(error) } else { verifier_of_all(contract, &good) }
    })
}

fn verifier_of_all(contract: &Contract, secrets: &[Secret]) -> Result<Option<Verifier>, Error> {
    let [first, others @ ..] = secrets else { return Ok(None) };
    let verifier = contract.verifier(first)?;
    others.iter().try_fold(verifier, |verifier, secret| verifier.with_secret(secret)).map(Some)
}
