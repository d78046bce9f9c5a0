//! [`Document`]: the document, and the route that serves it.

mod events;
mod fields;
mod operations;
mod schemas;
mod settings;
mod webhooks;

use ::axum::extract::{NestedPath, Request};
use ::axum::response::{IntoResponse as _, Response};
use ::axum::routing::{MethodRouter, get};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use crate::contract::{Contract, Versions};
use crate::manage::axum::about::About;
use crate::manage::axum::access::permitted;
use crate::manage::axum::cors::Cors;
use crate::manage::axum::operation::Operation;
use crate::manage::axum::problem::Problem;
use crate::manage::axum::router::Routes;
use crate::store::{Records, Store, Subscriptions};
use operations::{described, tags};
use schemas::schemas;
use webhooks::webhooks;

/// Makes the document of a [router](crate::manage::axum::router) for `contract`.
///
/// The fields of the contract's own stand in it too. [`Routes`] makes one with the application's title,
/// servers, security schemes and paths.
///
/// ```
/// use hookwire::Contract;
/// use hookwire::manage::axum::openapi::document;
///
/// let document = document(&Contract::allison());
/// assert_eq!(document["openapi"], "3.1.0");
/// assert!(document["paths"]["/v1/webhook-subscriptions"]["post"].is_object());
/// assert!(document["webhooks"]["call.ended"]["post"].is_object());
/// ```
pub fn document(contract: &Contract) -> Value {
    document_of([contract])
}

/// Makes the document of a [router](crate::manage::axum::router) for several contracts.
///
/// A subscription and its drafts and patches are one of several, one for each contract with the fields of
/// its own.
///
/// ```
/// use hookwire::Contract;
/// use hookwire::manage::axum::openapi::document_of;
///
/// let document = document_of([&Contract::allison(), &Contract::allo()]);
/// let draft = &document["components"]["schemas"]["SubscriptionDraft"];
/// assert_eq!(draft["anyOf"][1]["$ref"], "#/components/schemas/AlloSubscriptionDraft");
/// ```
pub fn document_of<'a>(contracts: impl IntoIterator<Item = &'a Contract>) -> Value {
    let chains: Vec<_> = contracts.into_iter().cloned().map(Versions::new).collect();
    Document::new(&About::default(), chains.iter()).at("")
}

impl<R: Store + Subscriptions + Records + 'static> Routes<R> {
    /// The OpenAPI document of these routes (feature `openapi`).
    pub fn document(&self) -> Value {
        let prefix = self.about.prefix.as_deref().unwrap_or_default();
        Document::new(&self.about, self.service.chains()).at(prefix)
    }
}

/// Serves the document to every caller that may read.
pub(in crate::manage::axum) fn document_route<'a, S: Clone + Send + Sync + 'static>(
    about: &About,
    chains: impl Iterator<Item = &'a Versions>,
    cors: Option<&Cors>,
) -> Option<(&'static str, MethodRouter<S>)> {
    let (document, prefix) = (Document::new(about, chains), about.prefix.clone());
    let cors = cors.cloned();
    let document = std::sync::Arc::new(document);
    let served = get(async move |request: Request| -> Response {
        let parts = request.into_parts().0;
        let nested = parts.extensions.get::<NestedPath>().map_or("", NestedPath::as_str);
        let prefix = prefix.as_deref().unwrap_or(nested).trim_end_matches('/');
        let mut response = match permitted(&parts, false) {
            Ok(_) if parts.uri.query().is_some_and(|query| !query.is_empty()) => {
                Problem::field("query", "there is no such parameter", "no parameters").into_response()
            }
            Ok(_) => {
                let text = serde_json::to_vec(&document.at(prefix)).expect("invariant: JSON can be written");
                ([(CONTENT_TYPE, "application/json")], text).into_response()
            }
            Err(problem) => problem.into_response(),
        };
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(origin) = cors.as_ref().and_then(|cors| cors.allowed(&parts.headers)) {
            Cors::add(origin, &mut response);
        }
        response
    });
    let refused = async || {
        let detail = "path has no such method, expected GET";
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail).into_response()
    };
    Some((PATH, served.fallback(refused)))
}

/// The document, before the path is known at which clients see the router.
pub(in crate::manage::axum) struct Document {
    whole: Value,
    /// The paths of the router, without that prefix.
    paths: Map<String, Value>,
    /// The application's own, as clients see them.
    own: Map<String, Value>,
}

impl Document {
    pub(in crate::manage::axum) fn new<'a>(
        about: &About,
        chains: impl Iterator<Item = &'a Versions>,
    ) -> Self {
        let chains: Vec<_> = chains.collect();
        let mut paths = Map::new();
        for operation in Operation::ALL {
            if operation == Operation::EmitEvents && !about.emits {
                continue;
            }
            let path = paths.entry(operation.path()).or_insert_with(|| json!({}));
            path[operation.method().as_str().to_ascii_lowercase()] = described(operation);
        }
        paths.insert(PATH.into(), operations::of_document());
        let mut whole = json!({
            "openapi": "3.1.0",
            "info": {
                "title": about.title,
                "version": about.version,
                "description": ABOUT,
            },
            "tags": tags(),
            "paths": {},
            "webhooks": webhooks(&chains),
            "components": {"schemas": schemas(&chains, about.emits)},
        });
        if !about.servers.is_empty() {
            whole["servers"] = about.servers.iter().map(|url| json!({"url": url})).collect();
        }
        if !about.security.is_empty() {
            whole["components"]["securitySchemes"] = Value::Object(about.security.clone());
            whole["security"] = about.security.keys().map(|name| json!({name: []})).collect();
        }
        Self { whole, paths, own: about.paths.clone() }
    }

    /// The document for clients that see the router at `prefix`.
    pub(in crate::manage::axum) fn at(&self, prefix: &str) -> Value {
        let mut paths: Map<String, Value> =
            self.paths.iter().map(|(path, item)| (format!("{prefix}{path}"), item.clone())).collect();
        for (path, item) in &self.own {
            let there = paths.entry(path.clone()).or_insert_with(|| json!({}));
            for (name, value) in item.as_object().into_iter().flatten() {
                there[name] = value.clone();
            }
        }
        let mut whole = self.whole.clone();
        whole["paths"] = Value::Object(paths);
        whole
    }
}

const PATH: &str = "/v1/openapi.json";
const ABOUT: &str = "Webhook subscriptions of an organization: register a URL, see what was delivered, and fix it. An \
                     answer is `{\"data\": ...}`; a list has `next` too, to hand back as `after` until it is `null`. An \
                     error is problem details (RFC 9457).";
