//! [`About`]: the parts of the OpenAPI document that the application chooses.

use serde_json::{Map, Value};

/// The parts of the OpenAPI document that the application chooses, and where clients see the router.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "openapi"), allow(dead_code))]
pub(super) struct About {
    pub(super) title: String,
    pub(super) version: String,
    pub(super) prefix: Option<String>,
    pub(super) servers: Vec<String>,
    pub(super) security: Map<String, Value>,
    pub(super) paths: Map<String, Value>,
    /// Whether `POST /v1/events` is there.
    pub(super) emits: bool,
}

impl Default for About {
    fn default() -> Self {
        Self {
            title: "Webhook subscriptions".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            prefix: None,
            servers: Vec::new(),
            security: Map::new(),
            paths: Map::new(),
            emits: false,
        }
    }
}
