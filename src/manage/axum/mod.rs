//! For axum: [`router`], management over HTTP.
//!
//! | call | answer |
//! |---|---|
//! | `GET`, `POST /v1/webhook-subscriptions` | a page; 201 with the secret, shown this once |
//! | `GET`, `PUT`, `PATCH`, `DELETE /v1/webhook-subscriptions/{id}` | it; replaced; merged field by field (RFC 7396, first level); 204 |
//! | `POST /v1/webhook-subscriptions/{id}/rotate-secret` | it with the new secret, shown this once |
//! | `POST /v1/webhook-subscriptions/{id}/test` | what came of a test event, or 202 with `{"wait": false}` |
//! | `POST /v1/webhook-subscriptions/{id}/replay`, `.../recover` | how many deliveries are sent again |
//! | `GET /v1/webhook-subscriptions/{id}/statistics` | attempts by outcome and time, latency, backlog |
//! | `GET /v1/webhook-subscriptions/{id}/deliveries`, `.../deliveries/{delivery}` | a page; one with its attempts |
//! | `POST /v1/webhook-subscriptions/{id}/deliveries/{delivery}/retry`, `/cancel`, `/discard` | 204 |
//! | `GET /v1/dead-letters` | a page of the whole organization's |
//! | `GET /v1/event-types` | the contract's types with descriptions, samples and JSON Schemas |
//! | `GET /v1/events`, `/v1/events/{event}`, `/v1/events/{event}/deliveries` | a page; one with its payload; a page |
//! | `GET /v1/openapi.json` | all of this as OpenAPI 3.1 (feature `openapi`) |
//!
//! An answer is `{"data": ...}`, of a list with `next`, the text to hand back as `?after=` until it is `null`. A page that is
//! narrowed may have fewer items than `limit`, even none, and yet a next one. What cannot be done is problem details (RFC 9457) with
//! the `field` to blame, what was `expected`, and for a URL the `rule` that refuses it.
//!
//! A `PATCH` leaves what it does not name, takes out what it says is `null`, and puts the whole of what it names in place of the old:
//! of headers and attributes too, whose old values nobody can read back.
//!
//! `Idempotency-Key` on a creation makes it one however often it is sent; only the first answer has the secret. A subscription's
//! `ETag` names its revision: `If-Match` with it changes nothing that somebody else changed since.
//!
//! # Who may call
//!
//! That is the application's: it proves who calls, and puts an [`Access`] into the request's extensions. A request without one is
//! answered 401, one that changes something without [`Scope::ReadWrite`] 403.
//!
//! ```
//! use axum::extract::Request;
//! use axum::middleware::Next;
//! use axum::response::Response;
//! use axum::Router;
//! use hookwire::manage::Service;
//! use hookwire::manage::axum::{Access, Scope, router};
//! use hookwire::{Contract, MemoryStore};
//!
//! async fn authenticate(mut request: Request, next: Next) -> Response {
//!     if request.headers().get("authorization").is_some_and(|value| value == "Bearer of-your-own-making") {
//!         request.extensions_mut().insert(Access::new("org_1", Scope::ReadWrite));
//!     }
//!     next.run(request).await
//! }
//!
//! let service = Service::new(MemoryStore::new(), Contract::allison());
//! let app: Router = router(service).layer(axum::middleware::from_fn(authenticate));
//! # let _ = app;
//! ```
#![cfg(feature = "axum")]

mod handle;
pub mod openapi;
mod operation;
mod problem;
mod query;
mod read;
mod shown;

use std::sync::Arc;

use ::axum::Router;
use ::axum::extract::{FromRequestParts as _, RawPathParams, Request};
use ::axum::response::{IntoResponse as _, Response};
use ::axum::routing::{MethodFilter, MethodRouter, on};
use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};

use self::handle::Call;
use self::operation::Operation;
use self::problem::Problem;
use self::read::whole;
use super::Service;
use crate::store::Records;

/// Routes for every call of management, of a service that several of them may share.
///
/// Merge it with the application's own; under its paths the application may add methods that these do not have, such as
/// `POST /v1/events`.
pub fn router<R, S>(service: impl Into<Arc<Service<R>>>) -> Router<S>
where
    R: Records + 'static,
    S: Clone + Send + Sync + 'static,
{
    let service = service.into();
    let mut router = Router::new();
    for operation in Operation::ALL {
        router = router.route(operation.path(), route(operation, &service));
    }
    openapi::routed(router)
}

/// Whom a request is for and what it may do: the application puts it into the request's extensions.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Access {
    /// Whose subscriptions and events these are.
    pub organization: String,
    /// What may be done with them.
    pub scope: Scope,
}

impl Access {
    /// To this organization's, so far.
    pub fn new(organization: impl Into<String>, scope: Scope) -> Self {
        Self { organization: organization.into(), scope }
    }
}

/// What a request may do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Scope {
    /// Look.
    Read,
    /// Look and change.
    ReadWrite,
}

fn route<R, S>(operation: Operation, service: &Arc<Service<R>>) -> MethodRouter<S>
where
    R: Records + 'static,
    S: Clone + Send + Sync + 'static,
{
    let service = Arc::clone(service);
    let method =
        MethodFilter::try_from(operation.method()).expect("invariant: every method here has a filter");
    on(method, move |request: Request| {
        let service = Arc::clone(&service);
        async move {
            let answer = answer(operation, &service, request).await;
            let mut response = answer.unwrap_or_else(|problem| problem.into_response());
            // Secrets, and what belongs to one caller.
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
    })
}

async fn answer<R: Records + 'static>(
    operation: Operation,
    service: &Arc<Service<R>>,
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let access = permitted(&parts, operation.writes())?;
    let path = RawPathParams::from_request_parts(&mut parts, &()).await;
    let path =
        path.map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "path is not UTF-8, expected UTF-8"))?;
    let query = query::Query::parse(parts.uri.query(), operation.query())?;
    let body = match operation.takes_body() {
        true => whole(body).await?,
        false => bytes::Bytes::new(),
    };
    let path = path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Call { service, organization: &access.organization, path, query, headers: &parts.headers, body }
        .answer(operation)
        .await
}

/// Whom the request is for, if it may do that.
fn permitted(parts: &http::request::Parts, writes: bool) -> Result<Access, Problem> {
    let Some(access) = parts.extensions.get::<Access>() else {
        let detail = "nobody said whom this request is for, expected authentication";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, detail));
    };
    if writes && access.scope != Scope::ReadWrite {
        let detail = "this access may read only, expected one that may write";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    Ok(access.clone())
}
