//! Writes JSON text with its keys in another order.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Sorts the keys by name at every level, as programs do that keep objects sorted.
pub(crate) fn sorted(json: &str) -> String {
    rewritten(json, None, 0)
}

/// Puts the keys into the order of `template`. Keys that it does not have come last.
pub(crate) fn like(json: &str, template: &str) -> String {
    rewritten(json, Some(template), 0)
}

fn rewritten(json: &str, template: Option<&str>, depth: usize) -> String {
    if depth == MAX_DEPTH {
        return json.to_owned();
    }
    if let Ok(Members(mut members)) = serde_json::from_str::<Members<'_>>(json) {
        let Members(known) = template.and_then(|known| serde_json::from_str(known).ok()).unwrap_or_default();
        let known_at = |name: &String| known.iter().position(|(known, _)| known == name);
        match template {
            Some(_) => members.sort_by_key(|(name, _)| known_at(name).unwrap_or(usize::MAX)),
            None => members.sort_by(|(one, _), (other, _)| one.cmp(other)),
        }
        let members = members.iter().map(|(name, value)| {
            let below = template.map(|_| known_at(name).map_or("null", |at| known[at].1.get()));
            let name = serde_json::Value::from(name.as_str());
            format!("{name}:{}", rewritten(value.get(), below, depth + 1))
        });
        return format!("{{{}}}", members.collect::<Vec<_>>().join(","));
    }
    if let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(json) {
        let known: Vec<&RawValue> =
            template.and_then(|known| serde_json::from_str(known).ok()).unwrap_or_default();
        let below = template.map(|_| known.first().map_or("null", |first| first.get()));
        let elements = elements.iter().map(|element| rewritten(element.get(), below, depth + 1));
        return format!("[{}]", elements.collect::<Vec<_>>().join(","));
    }
    json.to_owned()
}

/// An object with its keys in their own order. `serde_json::Value` would sort them.
#[derive(Default)]
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(InOrder).map(Self)
    }
}

/// The depth that serde_json reads.
const MAX_DEPTH: usize = 128;
