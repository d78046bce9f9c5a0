//! [`router`]: one route for each [`Operation`].

use std::sync::Arc;

use ::axum::Router;
use ::axum::extract::{FromRequestParts as _, RawPathParams, Request};
use ::axum::response::{IntoResponse as _, Response};
use ::axum::routing::{MethodFilter, MethodRouter, on};
use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};

use super::access::permitted;
use super::handle::Call;
use super::openapi;
use super::operation::Operation;
use super::problem::Problem;
use super::query::Query;
use super::read::whole;
use crate::manage::Service;
use crate::store::{Records, Store, Subscriptions};

/// Makes the routes for every call of management. Several routers may share one service.
///
/// Merge the router with the application's own. Under its paths, the application may add methods that it does
/// not have, such as `POST /v1/events`.
pub fn router<R, S>(service: impl Into<Arc<Service<R>>>) -> Router<S>
where
    R: Store + Subscriptions + Records + 'static,
    S: Clone + Send + Sync + 'static,
{
    let service = service.into();
    let mut router = Router::new();
    for operation in Operation::ALL {
        router = router.route(operation.path(), route(operation, &service));
    }
    openapi::routed(router, service.contracts())
}

fn route<R, S>(operation: Operation, service: &Arc<Service<R>>) -> MethodRouter<S>
where
    R: Store + Subscriptions + Records + 'static,
    S: Clone + Send + Sync + 'static,
{
    let service = Arc::clone(service);
    let method =
        MethodFilter::try_from(operation.method()).expect("invariant: every method here has a filter");
    on(method, move |request: Request| {
        let service = Arc::clone(&service);
        async move {
            let called = call(operation, &service, request).await;
            let mut response = called.unwrap_or_else(|problem| problem.into_response());
            // The response may hold a secret, and is for one caller alone.
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
    })
}

async fn call<R: Store + Subscriptions + Records + 'static>(
    operation: Operation,
    service: &Arc<Service<R>>,
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let access = permitted(&parts, operation.writes())?;
    let path = RawPathParams::from_request_parts(&mut parts, &()).await;
    let path =
        path.map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "path is not UTF-8, expected UTF-8"))?;
    let query = Query::parse(parts.uri.query(), operation.query())?;
    let body = match operation.takes_body() {
        true => whole(body).await?,
        false => Bytes::new(),
    };
    let path = path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Call { service, organization: &access.organization, path, query, headers: &parts.headers, body }
        .carry_out(operation)
        .await
}
