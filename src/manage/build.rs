//! Builds a subscription from a draft or a patch. It checks every field, and reports the first one that is
//! wrong.

use std::collections::BTreeMap;

use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::draft::SubscriptionDraft;
use super::error::{ManageError, Refusal};
use super::fields::AttributeChange;
use super::parts::{ConditionDraft, Hideable, RateDraft};
use super::patch::SubscriptionPatch;
use crate::address::{AddressPolicy, EndpointUrl};
use crate::contract::Contract;
use crate::event::{Catalogue, EventPattern};
use crate::subscription::{
    About, Authentication, ClientCertificate, Condition, DisabledReason, EventFilter, Options, Subscription,
    SubscriptionStatus,
};

/// Applies `patch` to `subscription`. After an error, the subscription may be changed in part.
pub(super) fn apply(
    patch: SubscriptionPatch,
    subscription: &mut Subscription,
    contract: &Contract,
    addresses: &AddressPolicy,
    now: OffsetDateTime,
) -> Result<(), ManageError> {
    patch.fields.check(contract, SubscriptionDraft::FIELDS)?;
    if let Some(text) = &patch.url {
        subscription.url = url(text, addresses)?;
    }
    subscription.filter = filter(&patch, &subscription.filter, contract)?;
    let options = options(&patch, &subscription.options)?;
    options.check(contract.scheme()).map_err(|error| ManageError::unusable("headers", &error))?;
    subscription.options = options;
    match patch.enabled {
        Some(true) => subscription.status = SubscriptionStatus::Enabled,
        // A subscription that is disabled already keeps its reason, which says more.
        Some(false) if subscription.status == SubscriptionStatus::Enabled => {
            subscription.status = SubscriptionStatus::disabled(DisabledReason::Manual, now);
        }
        _ => {}
    }
    Ok(())
}

pub(super) fn url(text: &str, addresses: &AddressPolicy) -> Result<EndpointUrl, ManageError> {
    EndpointUrl::parse(text, addresses).map_err(|error| {
        ManageError::Refused(Refusal {
            field: "url".into(),
            what: error.reason().into(),
            expected: error.expected().into(),
            rule: Some(error.rule()),
        })
    })
}

fn filter(
    patch: &SubscriptionPatch,
    old: &EventFilter,
    contract: &Contract,
) -> Result<EventFilter, ManageError> {
    let filter = patterns(patch, old, contract)?;
    let filter = conditions(patch, old, filter)?;
    attributes(patch, old, contract, filter)
}

fn patterns(
    patch: &SubscriptionPatch,
    old: &EventFilter,
    contract: &Contract,
) -> Result<EventFilter, ManageError> {
    match (patch.fields.events(contract)?, &patch.events) {
        (Some((field, _)), Some(events)) if !events.is_empty() => {
            Err(ManageError::refused(field, "events are given twice", "this field or `events`, not both"))
        }
        (Some((field, names)), _) => events(field, &names, contract.catalogue()),
        (None, Some(names)) => events("events", names, contract.catalogue()),
        (None, None) => EventFilter::new(old.patterns().iter().map(ToString::to_string))
            .map_err(|error| ManageError::unusable("events", &error)),
    }
}

fn conditions(
    patch: &SubscriptionPatch,
    old: &EventFilter,
    mut filter: EventFilter,
) -> Result<EventFilter, ManageError> {
    match &patch.conditions {
        Some(drafts) => {
            for (at, ConditionDraft { part, pointer, values }) in drafts.iter().enumerate() {
                filter = Condition::new(*part, pointer.clone(), values.clone())
                    .and_then(|condition| filter.with_condition(condition))
                    .map_err(|error| ManageError::unusable(format!("conditions[{at}]"), &error))?;
            }
        }
        None => {
            for condition in old.conditions() {
                filter = filter
                    .with_condition(condition.clone())
                    .map_err(|error| ManageError::unusable("conditions", &error))?;
            }
        }
    }
    Ok(filter)
}

fn attributes(
    patch: &SubscriptionPatch,
    old: &EventFilter,
    contract: &Contract,
    mut filter: EventFilter,
) -> Result<EventFilter, ManageError> {
    let mut attributes = match (&patch.attributes, patch.replaces) {
        (Some(None), _) | (_, true) => BTreeMap::new(),
        _ => old.attributes().clone(),
    };
    for (name, values) in patch.attributes.iter().flatten().flatten() {
        match values {
            Some(values) => drop(attributes.insert(name.clone(), values.clone())),
            None => drop(attributes.remove(name)),
        }
    }
    for (name, change) in patch.fields.attributes(contract)? {
        match change {
            // A field of its own is changed by its own name alone: other attributes leave its value as it
            // was.
            AttributeChange::None => {
                if let Some(values) = old.attributes().get(name) {
                    attributes.entry(name.to_owned()).or_insert_with(|| values.clone());
                }
            }
            AttributeChange::Set(values) => _ = attributes.insert(name.to_owned(), values),
            // A draft without the field may have the value among its attributes.
            AttributeChange::Remove if patch.attributes.is_none() => _ = attributes.remove(name),
            AttributeChange::Remove => {}
        }
    }
    for (name, values) in attributes {
        let field = format!("attributes.{name}");
        filter = filter.with_attribute(name, values).map_err(|error| ManageError::unusable(field, &error))?;
    }
    Ok(filter)
}

/// The filter of the patterns that stand in the field `name`.
pub(super) fn events(
    name: &'static str,
    names: &[String],
    catalogue: &Catalogue,
) -> Result<EventFilter, ManageError> {
    if names.is_empty() {
        return Err(ManageError::refused(name, "no event is asked for", known(catalogue)));
    }
    for (at, pattern) in names.iter().enumerate() {
        let field = format!("{name}[{at}]");
        let pattern: EventPattern = match pattern.parse() {
            Ok(pattern) => pattern,
            Err(error) => return Err(ManageError::unusable(field, &error)),
        };
        if !catalogue.is_open() && catalogue.matching(&pattern).next().is_none() {
            return Err(ManageError::refused(field, "there is no such event", known(catalogue)));
        }
    }
    let filter = EventFilter::new(names).map_err(|error| ManageError::unusable(name, &error))?;
    let len = filter.to_storage().len();
    if len > EventFilter::MAX_LEN {
        let expected = format!("at most {}", EventFilter::MAX_LEN);
        return Err(ManageError::refused(name, format!("they have {len} bytes together"), expected));
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
    let unusable = |field: &'static str| move |error: crate::Error| ManageError::unusable(field, &error);
    let mut options = Options::new();
    let authentication = match &patch.authentication {
        Some(Some(draft)) => draft
            .clone()
            .build(old.authentication())
            .map_err(|(part, error)| ManageError::unusable(format!("authentication.{part}"), &error))?,
        Some(None) => Authentication::None,
        None => old.authentication().clone(),
    };
    if authentication != Authentication::None {
        options = options.with_authentication(authentication).map_err(unusable("authentication"))?;
    }
    options =
        options.with_client_certificate(certificate(patch, old)?).with_about(about(patch, old.about())?);
    for (name, value) in headers(patch, old) {
        options = options.with_header(&name, &value).map_err(unusable("headers"))?;
    }
    if let Some(attempts) = patch.max_in_flight.unwrap_or_else(|| old.max_in_flight()) {
        options = options.with_max_in_flight(attempts).map_err(unusable("max_in_flight"))?;
    }
    let old_rate = old.rate().map(|rate| RateDraft::new(rate.per_second(), rate.burst()));
    let rate = match patch.rate {
        Some(Some(change)) => Some(change.apply(old_rate).ok_or_else(|| {
            ManageError::refused("rate.per_second", "required field is missing", "a number")
        })?),
        Some(None) => None,
        None => old_rate,
    };
    if let Some(rate) = rate {
        options = options.with_rate(rate.per_second, rate.burst).map_err(unusable("rate"))?;
    }
    let delays = match &patch.retry {
        Some(retry) => retry.as_ref().map(|retry| retry.build().map_err(unusable("retry"))).transpose()?,
        None => old.retry_delays().map(<[_]>::to_vec),
    };
    if let Some(delays) = delays {
        options = options.with_retry_delays(delays).map_err(unusable("retry"))?;
    }
    Ok(options)
}

fn about(patch: &SubscriptionPatch, old: &About) -> Result<About, ManageError> {
    let unusable = |field: &'static str| move |error: crate::Error| ManageError::unusable(field, &error);
    let mut about = About::new();
    let description = patch.description.clone().unwrap_or_else(|| old.description().map(str::to_owned));
    if let Some(description) = description {
        about = about.with_description(description).map_err(unusable("description"))?;
    }
    if let Some(uid) = patch.uid.clone().unwrap_or_else(|| old.uid().map(str::to_owned)) {
        about = about.with_uid(uid).map_err(unusable("uid"))?;
    }
    let mut metadata = match (&patch.metadata, patch.replaces) {
        (Some(None), _) | (_, true) => BTreeMap::new(),
        _ => old.metadata().clone(),
    };
    for (name, value) in patch.metadata.iter().flatten().flatten() {
        match value {
            Some(value) => drop(metadata.insert(name.clone(), value.clone())),
            None => drop(metadata.remove(name)),
        }
    }
    for (name, value) in metadata {
        about = about.with_metadata(name, value).map_err(unusable("metadata"))?;
    }
    Ok(about)
}

fn certificate(patch: &SubscriptionPatch, old: &Options) -> Result<Option<ClientCertificate>, ManageError> {
    match &patch.client_certificate {
        None | Some(Some(Hideable::Hidden)) => Ok(old.client_certificate().cloned()),
        Some(None) => Ok(None),
        Some(Some(Hideable::New(draft))) => {
            draft.build().map(Some).map_err(|error| ManageError::unusable("client_certificate", &error))
        }
    }
}

/// The extra headers with their values, by their names in lower case.
fn headers(patch: &SubscriptionPatch, old: &Options) -> BTreeMap<String, Zeroizing<String>> {
    let stored = || {
        let text = |value: &http::HeaderValue| Zeroizing::new(value.to_str().unwrap_or_default().to_owned());
        old.headers().iter().map(move |(name, value)| (name.as_str().to_owned(), text(value)))
    };
    let Some(changes) = &patch.headers else { return stored().collect() };
    let mut headers = match (changes, patch.replaces) {
        (None, _) | (_, true) => BTreeMap::new(),
        (Some(_), false) => stored().collect(),
    };
    for (name, change) in changes.iter().flatten() {
        let lower = name.to_ascii_lowercase();
        let value = match change {
            None => None,
            Some(Hideable::New(value)) => Some(Zeroizing::new(value.clone())),
            // It stays as it is, also where none is there.
            Some(Hideable::Hidden) => stored().find(|(stored, _)| *stored == lower).map(|(_, value)| value),
        };
        match value {
            Some(value) => drop(headers.insert(lower, value)),
            None => drop(headers.remove(&lower)),
        }
    }
    headers
}
