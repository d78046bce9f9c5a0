//! [`Query`]: the parameters of a URL.

use std::collections::BTreeMap;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::problem::Problem;
use crate::store::Cursor;

#[derive(Debug)]
pub(super) struct Query(BTreeMap<&'static str, String>);

impl Query {
    /// Reads the parameters in `names`, each once. Any other parameter is refused, because it would have no
    /// effect.
    pub(super) fn parse(text: Option<&str>, names: &'static [&'static str]) -> Result<Self, Problem> {
        let mut found = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(text.unwrap_or_default().as_bytes()) {
            let Some(known) = names.iter().find(|known| **known == name) else {
                let expected = match names {
                    [] => "no parameters".to_owned(),
                    names => format!("of these: {}", names.join(", ")),
                };
                return Err(Problem::field(name.into_owned(), "there is no such parameter", expected));
            };
            if found.insert(*known, value.into_owned()).is_some() {
                return Err(Problem::field(*known, "parameter is given twice", "it once"));
            }
        }
        Ok(Self(found))
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn limit(&self) -> Result<u32, Problem> {
        Ok(self.read("limit", "a number")?.unwrap_or(DEFAULT_LIMIT))
    }

    /// The place in the list that `tag` tells from others.
    pub(super) fn after(&self, tag: &str) -> Result<Option<Cursor>, Problem> {
        let Some(text) = self.text("after") else { return Ok(None) };
        let cursor = text.strip_prefix(tag).and_then(|rest| rest.strip_prefix('-')?.parse().ok());
        let expected = "`next` of a page of this list, with the same parameters";
        cursor.map(Some).ok_or_else(|| Problem::field("after", "it is no place in this list", expected))
    }

    /// A text that tells the list of these parameters at this path from others.
    pub(super) fn tag<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> String {
        let mut hash = Sha256::new();
        let mut part = |text: &str| {
            hash.update(text.len().to_be_bytes());
            hash.update(text);
        };
        path.into_iter().for_each(&mut part);
        for (name, value) in self.0.iter().filter(|(name, _)| !["after", "limit"].contains(name)) {
            part(name);
            part(value);
        }
        hash.finalize()[..4].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(super) fn time(&self, name: &'static str) -> Result<Option<OffsetDateTime>, Problem> {
        let time = self.text(name).map(|text| OffsetDateTime::parse(text, &Rfc3339)).transpose();
        time.map_err(|_| Problem::field(name, "it is no time", "RFC 3339, as 2026-04-17T19:12:03Z"))
    }

    pub(super) fn read<T: FromStr>(
        &self,
        name: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, Problem> {
        let value = self.text(name).map(str::parse).transpose();
        value.map_err(|_| Problem::field(name, "it cannot be read", expected))
    }
}

const DEFAULT_LIMIT: u32 = 50;
