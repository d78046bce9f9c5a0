//! [`About`]: the words and names that people and programs give a subscription.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::header::refused;
use crate::bounds;
use crate::error::Error;

/// The words and names that people and programs give a subscription. No delivery depends on them.
///
/// ```
/// use hookwire::subscription::About;
///
/// let about = About::new().with_description("Calls for the CRM")?.with_uid("crm-7")?;
/// let about = about.with_metadata("team", "sales")?;
/// assert_eq!(about.uid(), Some("crm-7"));
/// assert!(About::new().with_description("x".repeat(2_000)).is_err());
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
}

impl About {
    /// Makes one without words and names.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the description, for people.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`](crate::ErrorKind::Subscription) for more than
    /// [`DESCRIPTION`](bounds::DESCRIPTION) bytes.
    pub fn with_description(mut self, text: impl Into<String>) -> Result<Self, Error> {
        let text = text.into();
        within("description", text.len(), bounds::DESCRIPTION)?;
        self.description = Some(text);
        Ok(self)
    }

    /// Sets the application's own name of the subscription. Nothing checks that no other has it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`](crate::ErrorKind::Subscription) for an empty text and for more than
    /// [`UID`](bounds::UID) bytes.
    pub fn with_uid(mut self, uid: impl Into<String>) -> Result<Self, Error> {
        let uid = uid.into();
        if uid.is_empty() {
            return Err(refused("uid is empty").with_expected("at least one character"));
        }
        within("uid", uid.len(), bounds::UID)?;
        self.uid = Some(uid);
        Ok(self)
    }

    /// Adds a name and a value, for programs.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`](crate::ErrorKind::Subscription) for an empty name, for more than
    /// [`METADATA`](bounds::METADATA) names, and for more than [`METADATA_LEN`](bounds::METADATA_LEN) bytes
    /// together.
    pub fn with_metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Result<Self, Error> {
        let name = name.into();
        if name.is_empty() {
            return Err(refused("metadata has an empty name").with_expected("at least one character"));
        }
        self.metadata.insert(name, value.into());
        if self.metadata.len() > bounds::METADATA {
            return Err(refused(format!("metadata has {} names", self.metadata.len()))
                .with_expected(format!("at most {}", bounds::METADATA)));
        }
        let len = self.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        within("metadata", len, bounds::METADATA_LEN)?;
        Ok(self)
    }

    /// The description.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// The application's own name of the subscription.
    pub fn uid(&self) -> Option<&str> {
        self.uid.as_deref()
    }

    /// The names and values for programs.
    pub const fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}

fn within(what: &str, found: usize, most: usize) -> Result<(), Error> {
    match found <= most {
        true => Ok(()),
        false => Err(refused(format!("{what} has {found} bytes")).with_expected(format!("at most {most}"))),
    }
}
