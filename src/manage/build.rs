//! From what somebody asks for to what can be stored: every field checked, the first that is wrong told.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::draft::{ConditionDraft, RateDraft};
use super::{ManageError, Refusal, SubscriptionPatch};
use crate::address::{AddressPolicy, EndpointUrl};
use crate::contract::Contract;
use crate::event::{Catalogue, EventPattern};
use crate::subscription::{
    Authentication, Condition, DisabledReason, EventFilter, Options, Subscription, SubscriptionStatus,
};

/// Changes `subscription` as `patch` says; left half changed where something is refused.
pub(super) fn apply(
    patch: SubscriptionPatch,
    subscription: &mut Subscription,
    contract: &Contract,
    addresses: &AddressPolicy,
    now: OffsetDateTime,
) -> Result<(), ManageError> {
    if let Some(text) = &patch.url {
        subscription.url = url(text, addresses)?;
    }
    subscription.filter = filter(&patch, &subscription.filter, contract)?;
    let options = options(&patch, &subscription.options)?;
    options.check(contract.scheme()).map_err(|error| ManageError::told("headers", &error))?;
    subscription.options = options;
    match patch.enabled {
        Some(true) => subscription.status = SubscriptionStatus::Enabled,
        // What disabled it before says more.
        Some(false) if subscription.status == SubscriptionStatus::Enabled => {
            subscription.status = SubscriptionStatus::disabled(DisabledReason::Manual, now);
        }
        _ => {}
    }
    Ok(())
}

pub(super) fn url(text: &str, addresses: &AddressPolicy) -> Result<EndpointUrl, ManageError> {
    EndpointUrl::parse(text, addresses).map_err(|error| {
        let told = error.to_string();
        let (what, expected) = told.split_once(", expected ").unwrap_or((&told, "another URL"));
        ManageError::Refused(Refusal {
            field: "url".into(),
            what: what.to_owned().into(),
            expected: expected.to_owned().into(),
            rule: Some(error.rule()),
        })
    })
}

fn filter(
    patch: &SubscriptionPatch,
    old: &EventFilter,
    contract: &Contract,
) -> Result<EventFilter, ManageError> {
    let mut filter = match &patch.events {
        Some(names) => events(names, contract.catalogue())?,
        None => EventFilter::new(old.patterns().iter().map(ToString::to_string))
            .map_err(|error| ManageError::told("events", &error))?,
    };
    match &patch.conditions {
        Some(drafts) => {
            for (at, ConditionDraft { part, pointer, values }) in drafts.iter().enumerate() {
                filter = Condition::new(*part, pointer.clone(), values.clone())
                    .and_then(|condition| filter.with_condition(condition))
                    .map_err(|error| ManageError::told(format!("conditions[{at}]"), &error))?;
            }
        }
        None => {
            for condition in old.conditions() {
                filter = filter
                    .with_condition(condition.clone())
                    .map_err(|error| ManageError::told("conditions", &error))?;
            }
        }
    }
    let mut attributes: BTreeMap<_, _> = match &patch.attributes {
        Some(attributes) => {
            let mut attributes = attributes.clone();
            // The number has a name of its own, and stays unless it is changed by that.
            if let (None, Some(number)) = (&patch.allo_number, old.attributes().get(ALLO_NUMBER)) {
                attributes.entry(ALLO_NUMBER.to_owned()).or_insert_with(|| number.clone());
            }
            attributes
        }
        None => old.attributes().clone(),
    };
    match &patch.allo_number {
        Some(Some(_)) if contract.name() != ALLO_V1 => {
            return Err(ManageError::refused(
                "allo_number",
                format!("contract `{}` knows no numbers", contract.name()),
                "none",
            ));
        }
        Some(Some(number)) => _ = attributes.insert(ALLO_NUMBER.to_owned(), vec![number.clone()]),
        // A draft without a number may name it among its attributes.
        Some(None) if patch.attributes.is_none() => _ = attributes.remove(ALLO_NUMBER),
        _ => {}
    }
    for (name, values) in attributes {
        let field = format!("attributes.{name}");
        filter = filter.with_attribute(name, values).map_err(|error| ManageError::told(field, &error))?;
    }
    Ok(filter)
}

fn events(names: &[String], catalogue: &Catalogue) -> Result<EventFilter, ManageError> {
    if names.is_empty() {
        return Err(ManageError::refused("events", "no event is asked for", known(catalogue)));
    }
    for (at, name) in names.iter().enumerate() {
        let field = format!("events[{at}]");
        let pattern: EventPattern = match name.parse() {
            Ok(pattern) => pattern,
            Err(error) => return Err(ManageError::told(field, &error)),
        };
        if !catalogue.is_open() && catalogue.matching(&pattern).next().is_none() {
            return Err(ManageError::refused(field, "there is no such event", known(catalogue)));
        }
    }
    let filter = EventFilter::new(names).map_err(|error| ManageError::told("events", &error))?;
    let len = filter.to_storage().len();
    if len > EventFilter::MAX_LEN {
        let expected = format!("at most {}", EventFilter::MAX_LEN);
        return Err(ManageError::refused("events", format!("they have {len} bytes together"), expected));
    }
    Ok(filter)
}

fn known(catalogue: &Catalogue) -> String {
    let names: Vec<_> = catalogue.iter().map(|kind| kind.name()).collect();
    match names.as_slice() {
        [] => "names of events, prefixes such as `call.*`, or `*`".to_owned(),
        names => format!("a prefix such as `call.*`, `*`, or of these: {}", names.join(", ")),
    }
}

fn options(patch: &SubscriptionPatch, old: &Options) -> Result<Options, ManageError> {
    let told = |field: &'static str| move |error: crate::Error| ManageError::told(field, &error);
    let mut options = Options::new();
    let authentication = match &patch.authentication {
        Some(draft) => draft.clone().build().map_err(told("authentication"))?,
        None => old.authentication().clone(),
    };
    if authentication != Authentication::None {
        options = options.with_authentication(authentication).map_err(told("authentication"))?;
    }
    match &patch.headers {
        Some(headers) => {
            for (name, value) in headers {
                options = options.with_header(name, value).map_err(told("headers"))?;
            }
        }
        None => {
            for (name, value) in old.headers() {
                let value = value.to_str().unwrap_or_default();
                options = options.with_header(name.as_str(), value).map_err(told("headers"))?;
            }
        }
    }
    if let Some(attempts) = patch.max_in_flight.unwrap_or_else(|| old.max_in_flight()) {
        options = options.with_max_in_flight(attempts).map_err(told("max_in_flight"))?;
    }
    let old_rate = old.rate().map(|rate| RateDraft::new(rate.per_second(), rate.burst()));
    if let Some(rate) = patch.rate.unwrap_or(old_rate) {
        options = options.with_rate(rate.per_second, rate.burst).map_err(told("rate"))?;
    }
    let delays = match &patch.retry {
        Some(retry) => retry.as_ref().map(|retry| retry.build().map_err(told("retry"))).transpose()?,
        None => old.retry_delays().map(<[_]>::to_vec),
    };
    if let Some(delays) = delays {
        options = options.with_retry_delays(delays).map_err(told("retry"))?;
    }
    Ok(options)
}

const ALLO_V1: &str = "allo_v1";
pub(super) const ALLO_NUMBER: &str = "allo_number";
