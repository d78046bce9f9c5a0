//! [`router`] and [`Routes`]: one route for each [`Operation`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ::axum::Router;
use ::axum::body::Body;
use ::axum::extract::{FromRequestParts as _, NestedPath, RawPathParams, Request};
use ::axum::response::{IntoResponse as _, Response};
use ::axum::routing::{MethodFilter, MethodRouter};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, IF_NONE_MATCH};
use http::{HeaderValue, Method, StatusCode};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::about::About;
use super::access::permitted;
use super::cors::Cors;
use super::handle::{Call, Emit};
use super::openapi;
use super::operation::Operation;
use super::problem::Problem;
use super::query::Query;
use super::read::{MAX_BODY, MAX_EVENTS, whole};
use crate::manage::{Emitter, Service};
use crate::store::{Records, Store, Subscriptions};

/// Makes the routes for every call of management but `POST /v1/events`. Several routers may share one
/// service. [`Routes`] has settings.
///
/// Merge the router with the application's own, or nest it. Under its paths, the application may add methods
/// that it does not have.
pub fn router<R, S>(service: impl Into<Arc<Service<R>>>) -> Router<S>
where
    R: Store + Subscriptions + Records + 'static,
    S: Clone + Send + Sync + 'static,
{
    Routes::new(service).into_router()
}

/// The routes of management, with settings.
///
/// ```
/// use axum::Router;
/// use hookwire::manage::Service;
/// use hookwire::manage::axum::Routes;
/// use hookwire::{Contract, MemoryStore};
/// use serde_json::json;
///
/// let service = Service::new(std::sync::Arc::new(MemoryStore::new()), Contract::allison());
/// let routes = Routes::new(service)
///     .with_title("Webhooks of Acme")
///     .with_version("2026-12")
///     .with_server("https://api.acme.example")
///     .with_security_scheme("token", json!({"type": "http", "scheme": "bearer"}))
///     .with_emitting()?;
/// let app: Router = Router::new().nest("/api", routes.into_router());
/// # let _ = app;
/// # Ok::<(), hookwire::Error>(())
/// ```
pub struct Routes<R> {
    pub(super) service: Arc<Service<R>>,
    emitter: Option<Arc<dyn Emit>>,
    cors: Option<Cors>,
    pub(super) about: About,
}

impl<R: Store + Subscriptions + Records + 'static> Routes<R> {
    /// Makes the routes of a service.
    pub fn new(service: impl Into<Arc<Service<R>>>) -> Self {
        Self { service: service.into(), emitter: None, cors: None, about: About::default() }
    }

    /// Adds `POST /v1/events`, by which callers emit events to the subscriptions of their organization.
    ///
    /// Leave it out if only the platform emits events: every caller that may write could send an
    /// organization's endpoints events that never happened.
    ///
    /// # Errors
    ///
    /// As [`Emitter::new`].
    pub fn with_emitting(mut self) -> Result<Self, crate::Error>
    where
        R: Clone,
    {
        self.emitter = Some(Arc::new(Emitter::new(&self.service)?));
        self.about.emits = true;
        Ok(self)
    }

    /// Lets pages of other origins call the routes. The default lets none.
    pub fn with_cors(mut self, cors: Cors) -> Self {
        self.cors = Some(cors);
        self
    }

    /// Sets the title of the OpenAPI document.
    pub fn with_title(mut self, title: impl Into<String>) -> Self {
        self.about.title = title.into();
        self
    }

    /// Sets the version of the OpenAPI document. The default is that of this crate.
    pub fn with_version(mut self, version: impl Into<String>) -> Self {
        self.about.version = version.into();
        self
    }

    /// Sets the path under which clients see the routes, such as `/api`, for `Location` and for the OpenAPI
    /// document.
    ///
    /// It is needed where a proxy takes a part of the path away. A [nested](Router::nest) router knows its
    /// path.
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        let prefix: String = prefix.into();
        self.about.prefix = Some(prefix.trim_end_matches('/').to_owned());
        self
    }

    /// Adds a server's URL to the OpenAPI document.
    pub fn with_server(mut self, url: impl Into<String>) -> Self {
        self.about.servers.push(url.into());
        self
    }

    /// Adds a security scheme to the OpenAPI document, one of which every call needs.
    pub fn with_security_scheme(mut self, name: impl Into<String>, scheme: Value) -> Self {
        self.about.security.insert(name.into(), scheme);
        self
    }

    /// Adds a path of the application's own to the OpenAPI document, as clients see it, with its path item.
    /// Where the path is there already, the methods are added.
    pub fn with_path(mut self, path: impl Into<String>, item: Value) -> Self {
        self.about.paths.insert(path.into(), item);
        self
    }

    /// Makes the router.
    pub fn into_router<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        let Self { service, emitter, cors, about } = self;
        let document = openapi::document_route(&about, service.chains(), cors.as_ref());
        let site = Arc::new(Site { service, emitter, cors, prefix: about.prefix });
        let mut paths: BTreeMap<&str, Vec<Operation>> = BTreeMap::new();
        for operation in Operation::ALL {
            if operation != Operation::EmitEvents || site.emitter.is_some() {
                paths.entry(operation.path()).or_default().push(operation);
            }
        }
        let mut router = Router::new();
        for (path, operations) in paths {
            router = router.route(path, methods(&operations, &site));
        }
        match document {
            Some((path, method)) => router.route(path, method),
            None => router,
        }
    }
}

impl<R> fmt::Debug for Routes<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes").field("about", &self.about).finish_non_exhaustive()
    }
}

/// The parts that every route needs.
struct Site<R> {
    service: Arc<Service<R>>,
    emitter: Option<Arc<dyn Emit>>,
    cors: Option<Cors>,
    prefix: Option<String>,
}

/// The methods of one path. Any other method is answered 405.
fn methods<R, S>(operations: &[Operation], site: &Arc<Site<R>>) -> MethodRouter<S>
where
    R: Store + Subscriptions + Records + 'static,
    S: Clone + Send + Sync + 'static,
{
    let mut router = MethodRouter::new();
    for operation in operations.iter().copied() {
        let site = Arc::clone(site);
        let method =
            MethodFilter::try_from(operation.method()).expect("invariant: every method here has a filter");
        router = router.on(method, move |request: Request| {
            let site = Arc::clone(&site);
            async move {
                let origin = site.cors.as_ref().and_then(|cors| cors.allowed(request.headers()));
                let called = call(operation, &site, request).await;
                finished(called.unwrap_or_else(|problem| problem.into_response()), origin)
            }
        });
    }
    let names = operations.iter().map(|it| it.method().to_string()).collect::<Vec<_>>().join(", ");
    let cors = site.cors.clone();
    router.fallback(async move |request: Request| {
        let origin = cors.as_ref().and_then(|cors| cors.allowed(request.headers()));
        let response = match &origin {
            Some(_) if Cors::is_preflight(request.method(), request.headers()) => Cors::preflight(&names),
            _ => {
                let detail = format!("path has no such method, expected one of {names}");
                Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail).into_response()
            }
        };
        finished(response, origin)
    })
}

fn finished(mut response: Response, origin: Option<HeaderValue>) -> Response {
    // The response may hold a secret, and is for one caller alone.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(origin) = origin {
        Cors::add(origin, &mut response);
    }
    response
}

async fn call<R: Store + Subscriptions + Records + 'static>(
    operation: Operation,
    site: &Site<R>,
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let access = permitted(&parts, operation.writes())?;
    let path = RawPathParams::from_request_parts(&mut parts, &()).await;
    let path =
        path.map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "path is not UTF-8, expected UTF-8"))?;
    let query = Query::parse(parts.uri.query(), operation.query())?;
    let body = match (operation.takes_body(), operation) {
        (false, _) => Bytes::new(),
        (true, Operation::EmitEvents) => whole(&parts.headers, body, MAX_EVENTS).await?,
        (true, _) => whole(&parts.headers, body, MAX_BODY).await?,
    };
    let path = path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let nested = parts.extensions.get::<NestedPath>().map_or("", NestedPath::as_str);
    let call = Call {
        service: &site.service,
        emitter: site.emitter.as_deref(),
        prefix: site.prefix.as_deref().unwrap_or(nested).trim_end_matches('/'),
        access: &access,
        organization: &access.organization,
        list: operation.path(),
        path,
        query,
        headers: &parts.headers,
        body,
    };
    let response = call.carry_out(operation).await?;
    match operation.method() == Method::GET && response.status() == StatusCode::OK {
        true => Ok(conditional(response, &parts.headers).await),
        false => Ok(response),
    }
}

/// Answers 304 where the caller has the same answer already (RFC 9110 section 13.1.2). The entity tag of an
/// answer without one is a hash of it.
async fn conditional(response: Response, headers: &HeaderMap) -> Response {
    let (mut head, body) = response.into_parts();
    let Ok(body) = ::axum::body::to_bytes(body, usize::MAX).await else {
        let detail = "the answer cannot be written";
        return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail).into_response();
    };
    if !head.headers.contains_key(ETAG) {
        let tag: String = Sha256::digest(&body)[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        let tag = HeaderValue::try_from(format!("\"{tag}\""));
        head.headers.insert(ETAG, tag.expect("invariant: hex digits are ASCII"));
    }
    let own = head.headers.get(ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or_default();
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut known = known.flat_map(|value| value.split(',')).map(|tag| tag.trim().trim_start_matches("W/"));
    if known.any(|tag| tag == own || tag == "*") {
        head.status = StatusCode::NOT_MODIFIED;
        head.headers.remove(CONTENT_TYPE);
        return Response::from_parts(head, Body::empty());
    }
    Response::from_parts(head, Body::from(body))
}
