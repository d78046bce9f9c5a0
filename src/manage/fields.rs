//! The fields that one contract's subscriptions have beside those of every subscription, as its
//! [`SubscriptionField`]s describe them.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

use super::error::ManageError;
use crate::contract::{Contract, FieldTarget, SubscriptionField};
use crate::subscription::EventFilter;

/// The fields of a draft or a patch that not every subscription has, by their names and not checked yet.
#[derive(Clone, Default)]
pub(super) struct ExtraFields(BTreeMap<String, Value>);

impl ExtraFields {
    pub(super) fn insert(&mut self, name: String, value: Value) {
        self.0.insert(name, value);
    }

    /// Keeps the fields whose names `keep` accepts.
    pub(super) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| keep(name));
    }

    /// Refuses a field that the contract does not have, and a value that cannot be used. `known` are the
    /// names of the fields that every subscription has.
    pub(super) fn check(&self, contract: &Contract, known: &[&'static str]) -> Result<(), ManageError> {
        self.check_names(contract, known)?;
        self.events(contract)?;
        self.attributes(contract).map(drop)
    }

    fn check_names(&self, contract: &Contract, known: &[&'static str]) -> Result<(), ManageError> {
        let own = contract.subscription_fields();
        let unknown = self.0.keys().find(|name| own.iter().all(|field| field.name() != name.as_str()));
        let Some(name) = unknown else { return Ok(()) };
        let names: Vec<_> = known.iter().copied().chain(own.iter().map(SubscriptionField::name)).collect();
        let what = format!("contract `{}` has no such field", contract.name());
        Err(ManageError::refused(name.clone(), what, format!("one of {}", names.join(", "))))
    }

    /// The event patterns under the contract's own name for `events`, with that name, where they are given.
    pub(super) fn events(
        &self,
        contract: &Contract,
    ) -> Result<Option<(&'static str, Vec<String>)>, ManageError> {
        for field in contract.subscription_fields() {
            if let (FieldTarget::Events, Some(value)) = (field.target(), self.0.get(field.name())) {
                return Ok(Some((field.name(), list(field, value)?)));
            }
        }
        Ok(None)
    }

    /// The contract's fields that are routing attributes, each with the attribute's name and the change that
    /// is asked for.
    pub(super) fn attributes(
        &self,
        contract: &Contract,
    ) -> Result<Vec<(&'static str, AttributeChange)>, ManageError> {
        let mut changes = Vec::new();
        for field in contract.subscription_fields() {
            let Some(attribute) = field.target().attribute() else { continue };
            let change = match (self.0.get(field.name()), field.target()) {
                (None, _) => AttributeChange::None,
                (Some(Value::Null), _) => AttributeChange::Remove,
                (Some(value), FieldTarget::Text(_)) => AttributeChange::Set(vec![text(field, value)?]),
                (Some(value), _) => AttributeChange::Set(list(field, value)?),
            };
            changes.push((attribute, change));
        }
        Ok(changes)
    }
}

/// The change of a routing attribute that one of a contract's own fields asks for.
pub(super) enum AttributeChange {
    /// The field is not given.
    None,
    /// The field is `null`.
    Remove,
    /// The field has these values.
    Set(Vec<String>),
}

/// Takes any field, each once.
impl<'de> Deserialize<'de> for ExtraFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = ExtraFields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("fields")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ExtraFields, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if fields.contains_key(&name) {
                        return Err(A::Error::custom(format_args!("duplicate field `{name}`")));
                    }
                    fields.insert(name, value);
                }
                Ok(ExtraFields(fields))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

/// The values of the contract's own fields, as they stand in a subscription's filter.
pub(super) fn shown(filter: &EventFilter, contract: &Contract) -> BTreeMap<&'static str, Value> {
    let mut shown = BTreeMap::new();
    for field in contract.subscription_fields() {
        let values = field.target().attribute().and_then(|attribute| filter.attributes().get(attribute));
        let value = values.and_then(|values| match field.target() {
            FieldTarget::Text(_) => values.first().map(|value| Value::from(value.as_str())),
            _ => Some(Value::from(values.as_slice())),
        });
        if let Some(value) = value {
            shown.insert(field.name(), value);
        }
    }
    shown
}

fn text(field: &SubscriptionField, value: &Value) -> Result<String, ManageError> {
    match value {
        Value::String(text) if field.accepts(text) => Ok(text.clone()),
        _ => Err(ManageError::refused(field.name(), "value cannot be used", field.expected())),
    }
}

fn list(field: &SubscriptionField, value: &Value) -> Result<Vec<String>, ManageError> {
    let Some(values) = value.as_array().filter(|values| !values.is_empty()) else {
        let expected = format!("a list of one or more, each {}", field.expected());
        return Err(ManageError::refused(field.name(), "value cannot be used", expected));
    };
    let mut texts = Vec::with_capacity(values.len());
    for (at, value) in values.iter().enumerate() {
        match value {
            Value::String(text) if field.accepts(text) => texts.push(text.clone()),
            _ => {
                let place = format!("{}[{at}]", field.name());
                return Err(ManageError::refused(place, "value cannot be used", field.expected()));
            }
        }
    }
    Ok(texts)
}
