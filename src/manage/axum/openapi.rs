//! The OpenAPI 3.1 document of the [router](super::router), made from the code that reads the requests and writes the answers: with the
//! feature `openapi`, `document()` gives it and the router serves it at `/v1/openapi.json`.
//!
//! It is the one module of management that knows that feature.

#[cfg(feature = "openapi")]
pub use imp::document;
pub(super) use imp::routed;

#[cfg(not(feature = "openapi"))]
mod imp {
    use ::axum::Router;

    /// As it is: there is no document.
    pub(in super::super) fn routed<S>(router: Router<S>) -> Router<S> {
        router
    }
}

#[cfg(feature = "openapi")]
mod imp {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use ::axum::Router;
    use ::axum::extract::Request;
    use ::axum::response::{IntoResponse as _, Response};
    use ::axum::routing::get;
    use bytes::Bytes;
    use http::header::CONTENT_TYPE;
    use http::{Method, StatusCode};
    use serde::Serialize;
    use serde::de::DeserializeOwned;
    use serde_json::{Map, Value, json};
    use time::OffsetDateTime;
    use time::macros::datetime;

    use super::super::operation::{Body, Operation};
    use super::super::permitted;
    use super::super::problem::Problem;
    use super::super::read::{DiscardBody, RecoverBody, RotateBody, TestBody};
    use super::super::shown::{
        AttemptShown, DeliveryShown, DeliveryWithAttempts, EventShown, EventTypeShown, Replayed,
        StatisticsShown, TestShown,
    };
    use crate::address::{AddressPolicy, EndpointUrl};
    use crate::contract::Contract;
    use crate::delivery::{Attempt, DeadReason, Delivery, DeliveryState};
    use crate::event::{EventId, schema};
    use crate::id::{DeliveryId, SubscriptionId};
    use crate::manage::{SubscriptionDraft, SubscriptionPatch, SubscriptionView};
    use crate::outcome::{ErrorClass, Outcome, Timings};
    use crate::store::{Backlog, Count, EventRecord, Latency, Period, Statistics};
    use crate::subscription::{
        Condition, DisabledReason, EventFilter, Health, Options, Subscription, SubscriptionStatus,
    };

    /// Serves the document to whoever may read.
    pub(in super::super) fn routed<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
        let text = serde_json::to_vec(&document()).expect("invariant: JSON can be written");
        let text = Bytes::from(text);
        router.route(
            PATH,
            get(async move |request: Request| -> Response {
                match permitted(&request.into_parts().0, false) {
                    Ok(_) => ([(CONTENT_TYPE, "application/json")], text.clone()).into_response(),
                    Err(problem) => problem.into_response(),
                }
            }),
        )
    }

    /// The document: every route of the [router](super::super::router) with its parameters, body and answers. How callers
    /// authenticate is the application's to add.
    ///
    /// ```
    /// let document = hookwire::manage::axum::openapi::document();
    /// assert_eq!(document["openapi"], "3.1.0");
    /// assert!(document["paths"]["/v1/webhook-subscriptions"]["post"].is_object());
    /// ```
    pub fn document() -> Value {
        let mut paths = Map::new();
        for operation in Operation::ALL {
            let path = paths.entry(operation.path()).or_insert_with(|| json!({}));
            path[operation.method().as_str().to_ascii_lowercase()] = described(operation);
        }
        paths.insert(
            PATH.into(),
            json!({"get": {
                "operationId": "ReadOpenApi",
                "summary": "This document.",
                "responses": {"200": {"description": "It.", "content": {"application/json": {"schema": {}}}},
                    "default": problem()},
            }}),
        );
        json!({
            "openapi": "3.1.0",
            "info": {"title": "Webhook subscriptions", "version": env!("CARGO_PKG_VERSION")},
            "paths": paths,
            "components": {"schemas": schemas()},
        })
    }

    fn described(operation: Operation) -> Value {
        let path = operation.path().split('{').skip(1).filter_map(|rest| rest.split('}').next());
        let path = path
            .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
        let query = operation.query().iter().map(|name| {
            let schema = match *name {
                "limit" => json!({"type": "integer", "minimum": 1, "maximum": crate::manage::MAX_PAGE}),
                "slot_seconds" => json!({"type": "integer", "minimum": 1}),
                "since" | "until" => json!({"type": "string", "format": "date-time"}),
                "state" => json!({"type": "string", "enum": DeliveryState::ALL.map(DeliveryState::as_str)}),
                _ => json!({"type": "string"}),
            };
            json!({"name": name, "in": "query", "schema": schema})
        });
        let mut parameters: Vec<_> = path.chain(query).collect();
        if operation == Operation::CreateSubscription {
            let about = "Makes one subscription of however many requests with the same key and body.";
            parameters.push(header("Idempotency-Key", about));
        }
        if matches!(operation.method(), Method::PUT | Method::PATCH | Method::DELETE)
            || operation == Operation::RotateSecret
        {
            parameters
                .push(header("If-Match", "The subscription's `ETag`, so that nobody else's change is lost."));
        }
        let mut described = json!({
            "operationId": operation.id(),
            "summary": operation.summary(),
            "parameters": parameters,
            "responses": {"default": problem()},
        });
        for (status, schema) in answers(operation) {
            described["responses"][status.as_str()] = match schema {
                Some(schema) => {
                    json!({"description": operation.summary(), "content": {"application/json": {"schema": schema}}})
                }
                None => json!({"description": operation.summary()}),
            };
        }
        if let Some((name, is_required)) = body(operation.body()) {
            described["requestBody"] =
                json!({"required": is_required, "content": {"application/json": {"schema": named(name)}}});
        }
        described
    }

    fn answers(operation: Operation) -> Vec<(StatusCode, Option<Value>)> {
        let one = |name| json!({"type": "object", "properties": {"data": named(name)}, "required": ["data"]});
        let page = |name| {
            json!({
                "type": "object",
                "properties": {"data": {"type": "array", "items": named(name)}, "next": {"type": ["string", "null"]}},
                "required": ["data", "next"],
            })
        };
        let secret = json!({
            "type": "object",
            "properties": {
                "data": named("Subscription"),
                "secret": {"type": ["string", "null"]},
                "warning": {"type": ["string", "null"]},
            },
            "required": ["data", "secret", "warning"],
        });
        let ok = |schema| vec![(StatusCode::OK, Some(schema))];
        match operation {
            Operation::ListSubscriptions => ok(page("Subscription")),
            Operation::CreateSubscription => vec![(StatusCode::CREATED, Some(secret))],
            Operation::ReadSubscription | Operation::ReplaceSubscription | Operation::UpdateSubscription => {
                ok(one("Subscription"))
            }
            Operation::RotateSecret => ok(secret),
            Operation::SendTest => {
                vec![(StatusCode::OK, Some(one("TestResult"))), (StatusCode::ACCEPTED, None)]
            }
            Operation::ReplayDeadLetters | Operation::Recover => ok(one("Replayed")),
            Operation::ReadStatistics => ok(one("Statistics")),
            Operation::ListDeliveries | Operation::ListDeadLetters | Operation::ListEventDeliveries => {
                ok(page("Delivery"))
            }
            Operation::ReadDelivery => ok(one("DeliveryWithAttempts")),
            Operation::ListEventTypes => ok(page("EventType")),
            Operation::ReadEvent => ok(one("Event")),
            Operation::ListEvents => ok(page("Event")),
            Operation::DeleteSubscription
            | Operation::RetryDelivery
            | Operation::CancelDelivery
            | Operation::DiscardDelivery => vec![(StatusCode::NO_CONTENT, None)],
        }
    }

    /// The schema of a body, and whether there must be one.
    const fn body(body: Body) -> Option<(&'static str, bool)> {
        match body {
            Body::None => None,
            Body::Draft => Some(("SubscriptionDraft", true)),
            Body::Patch => Some(("SubscriptionPatch", true)),
            Body::Rotate => Some(("Rotate", false)),
            Body::Test => Some(("Test", false)),
            Body::Recover => Some(("Recover", true)),
            Body::Discard => Some(("Discard", false)),
        }
    }

    fn schemas() -> Value {
        let draft = json!({
            "url": "https://hooks.example.com/calls",
            "events": ["call.*"],
            "allo_number": "+49301234",
            "conditions": [{"part": "data", "pointer": "/location_id", "values": ["loc_1"]}],
            "attributes": {"contact_list": ["leads"]},
            "headers": {"x-tenant": "acme"},
            "authentication": {"type": "bearer", "token": "mF_9.B5f-4.1JqM"},
            "max_in_flight": 4,
            "rate": {"per_second": 10.5, "burst": 20},
            "retry": {"type": "delays", "seconds": [60.5]},
            "enabled": true,
        });
        let mut made = draft.clone();
        made["secret"] = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into();
        let asked = BTreeMap::from([
            ("SubscriptionDraft", read::<SubscriptionDraft>(made)),
            ("SubscriptionPatch", read::<SubscriptionPatch>(draft)),
            ("Rotate", read::<RotateBody>(json!({"secret": "whsec_", "overlap_seconds": 60}))),
            ("Test", read::<TestBody>(json!({"event_type": "call.ended", "wait": false}))),
            ("Recover", read::<RecoverBody>(json!({"since": "2026-04-17T19:12:03Z"}))),
            ("Discard", read::<DiscardBody>(json!({"note": "done by hand"}))),
        ]);
        let told = BTreeMap::from([
            ("Subscription", {
                let mut schema = written(&[subscription(true), subscription(false)]);
                schema["properties"]["attributes"] = attributes();
                schema["properties"]["conditions"]["items"]["properties"]["values"]["items"] = json!({});
                schema
            }),
            ("Delivery", written(&deliveries().map(DeliveryShown::from))),
            ("DeliveryWithAttempts", {
                let with = |delivery: Delivery| DeliveryWithAttempts {
                    delivery: delivery.into(),
                    attempt_log: attempts(),
                };
                written(&deliveries().map(with))
            }),
            ("TestResult", {
                let [attempt, failed] =
                    attempts().try_into().unwrap_or_else(|_| unreachable!("there are two"));
                let test = |delivered, attempt| TestShown {
                    event_id: event_id(),
                    event_type: "call.ended".to_owned(),
                    delivery_id: DeliveryId::from_u128(1),
                    delivered,
                    attempt,
                };
                written(&[test(true, attempt), test(false, failed)])
            }),
            ("Replayed", written(&[Replayed { replayed: 1 }])),
            ("Statistics", written(&statistics())),
            ("Event", {
                let mut schema = written(&events());
                schema["properties"]["attributes"] = attributes();
                schema["properties"]["payload"] = json!({});
                schema
            }),
            ("EventType", {
                let contract = Contract::allison();
                let kinds: Vec<_> = contract.catalogue().iter().map(EventTypeShown::of).collect();
                let mut schema = written(&kinds);
                // Of one platform's types nothing: they are another's with another contract.
                schema["properties"]["sample"] = json!({});
                schema["properties"]["schema"] = json!({"type": "object"});
                schema
            }),
            ("Problem", {
                let mut schema =
                    written(&[Problem::field("url", "", ""), Problem::new(StatusCode::NOT_FOUND, "")]);
                schema["properties"]["rule"] = json!({"type": "string"});
                schema
            }),
        ]);
        json!(asked.into_iter().chain(told).collect::<BTreeMap<_, _>>())
    }

    /// Of what is read: by asking the reader.
    fn read<T: DeserializeOwned>(sample: Value) -> Value {
        schema::of(&sample, &|value| serde_json::from_value::<T>(value.clone()).is_ok())
    }

    /// Of what is written: by writing it with everything and with nothing.
    fn written<T: Serialize>(samples: &[T]) -> Value {
        let samples: Vec<_> = samples
            .iter()
            .map(|sample| serde_json::to_value(sample).expect("invariant: what is shown can be written"))
            .collect();
        schema::of_samples(&samples.iter().collect::<Vec<_>>())
    }

    fn subscription(is_full: bool) -> SubscriptionView {
        let url = EndpointUrl::parse("https://hooks.example.com/", &AddressPolicy::new());
        let url = url.expect("invariant: a public https URL is taken");
        let filter = EventFilter::all();
        let mut subscription =
            Subscription::from_parts(SubscriptionId::from_u128(1), AT, "org_1", url, filter);
        if is_full {
            let full = || {
                let filter = subscription.filter.clone().with_attribute("allo_number", ["+49301234"])?;
                let filter = filter.with_condition(Condition::data("/location_id", ["loc_1"])?)?;
                let options = Options::new().with_max_in_flight(4)?.with_rate(10.5, 20)?;
                let options = options
                    .with_retry_delays([Duration::from_millis(500)])?
                    .with_header("x-tenant", "acme")?;
                Ok::<_, crate::Error>((filter, options))
            };
            let (filter, options) = full().expect("invariant: each of these is taken");
            (subscription.filter, subscription.options) = (filter, options);
            subscription = subscription.with_secret(crate::Secret::from_random([1; 32]));
            subscription.status = SubscriptionStatus::disabled(DisabledReason::Gone, AT);
            subscription.health = Health::default().failed(AT, None);
        }
        SubscriptionView::of(&subscription, AT)
    }

    fn deliveries() -> [Delivery; 2] {
        let event_type: crate::EventType = "call.ended".parse().expect("invariant: it is a type's name");
        let delivery = || {
            Delivery::new(
                DeliveryId::from_u128(1),
                SubscriptionId::from_u128(1),
                event_id(),
                event_type.clone(),
                AT,
            )
        };
        let mut dead = delivery();
        dead.state = DeliveryState::Dead(DeadReason::Discarded);
        dead.due_at = None;
        dead.note = Some(String::new());
        [delivery(), dead]
    }

    fn attempts() -> Vec<AttemptShown> {
        let contract = Contract::allison();
        let mut timings = Timings::new(Duration::from_millis(1));
        timings.dns = Some(Duration::from_millis(1));
        (timings.connect, timings.tls, timings.first_byte) = (timings.dns, timings.dns, timings.dns);
        let answered = Outcome::answered(StatusCode::OK);
        let failed = Outcome::Failed(ErrorClass::Timeout);
        vec![
            AttemptShown::of(
                Attempt::new(1, AT, Duration::from_millis(1), answered).with_timings(timings),
                &contract,
            ),
            AttemptShown::of(Attempt::new(2, AT, Duration::from_millis(1), failed), &contract),
        ]
    }

    fn statistics() -> [StatisticsShown; 2] {
        let contract = Contract::allison();
        let period = Period::new(AT, AT, Duration::from_secs(60));
        let counts = [Outcome::answered(StatusCode::OK), Outcome::Failed(ErrorClass::Timeout)];
        let mut full = Statistics::from_counts(&period, counts.map(|outcome| (0, Count::new(outcome, 1))));
        full.latency = Latency::of(vec![Duration::from_millis(1)]);
        full.health = Health::default().failed(AT, None);
        full.backlog = Backlog::new(1, Some(AT));
        [full, Statistics::default()].map(|told| StatisticsShown::of(told, &period, &contract))
    }

    fn events() -> [EventShown; 2] {
        let event_type: crate::EventType = "call.ended".parse().expect("invariant: it is a type's name");
        let mut full = EventRecord::new(event_id(), event_type, AT);
        let bare = full.clone();
        full.payload = Some(Bytes::from_static(b"{}"));
        [full.into(), bare.into()]
    }

    /// Names of the application's choice.
    fn attributes() -> Value {
        json!({"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}})
    }

    fn event_id() -> EventId {
        EventId::from_parts(AT, [0; 10])
    }

    fn named(name: &str) -> Value {
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    fn problem() -> Value {
        json!({
            "description": "It was not carried out, and why (RFC 9457).",
            "content": {"application/problem+json": {"schema": named("Problem")}},
        })
    }

    fn header(name: &str, about: &str) -> Value {
        json!({"name": name, "in": "header", "description": about, "schema": {"type": "string"}})
    }

    const PATH: &str = "/v1/openapi.json";
    const AT: OffsetDateTime = datetime!(2026-04-17 19:12:03 UTC);
}
