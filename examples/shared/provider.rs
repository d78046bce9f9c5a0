//! The keys and the URL of a provider, as the flags of a program name them.

use std::error::Error;
use std::fs;

use hookwire::Secret;
use hookwire::provider::{Keys, Provider};

/// The flags beside `--provider NAME`.
#[derive(Debug, Default)]
pub(crate) struct Given {
    /// Secrets, or public keys as text.
    pub(crate) secrets: Vec<String>,
    /// Files with keys.
    pub(crate) files: Vec<String>,
    pub(crate) verify_token: Option<String>,
    pub(crate) key_id: Option<String>,
    pub(crate) audience: Option<String>,
    pub(crate) email: Option<String>,
}

/// The provider of this name, or the names that it may have meant.
pub(crate) fn named(name: &str) -> Result<&'static Provider, Box<dyn Error>> {
    if let Some(provider) = Provider::by_name(name) {
        return Ok(provider);
    }
    if matches!(name, "hubspot_v1" | "hubspot_v2") {
        return Err(
            "HubSpot's versions 1 and 2 sign without HMAC; the same requests carry version 3: hubspot_v3"
                .into(),
        );
    }
    let stem = name.split('_').next().unwrap_or_default();
    let near: Vec<_> = Provider::all().map(Provider::name).filter(|known| known.contains(stem)).collect();
    let known: Vec<_> = if near.is_empty() { Provider::all().map(Provider::name).collect() } else { near };
    Err(format!("no provider has this name, expected one of {}", known.join(", ")).into())
}

impl Given {
    /// Reads all keys. No error repeats a key.
    pub(crate) fn keys(&self) -> Result<Keys, Box<dyn Error>> {
        let mut keys = Keys::none();
        for secret in &self.secrets {
            keys = keys.and(Keys::parse(secret)?);
        }
        for file in &self.files {
            let text = fs::read_to_string(file).map_err(|error| format!("--keys cannot be read: {error}"))?;
            keys = keys.and(Keys::parse(&text)?);
        }
        if let Some(token) = &self.verify_token {
            keys = keys.with_verify_token(token.parse::<Secret>()?);
        }
        if let Some(id) = &self.key_id {
            keys = keys.with_key_id(id);
        }
        if let Some(audience) = &self.audience {
            keys = keys.with_audience(audience);
        }
        if let Some(email) = &self.email {
            keys = keys.with_email(email);
        }
        Ok(keys)
    }
}
