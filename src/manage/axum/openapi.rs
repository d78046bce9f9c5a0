//! The OpenAPI 3.1 document of the [router](super::router), made from the code that reads the requests and
//! writes the answers.
//!
//! With the feature `openapi`, `document` makes it, and the router serves it at `/v1/openapi.json`. This is
//! the one module of management that knows the feature.

pub(super) use imp::routed;
#[cfg(feature = "openapi")]
pub use imp::{document, document_of};

#[cfg(not(feature = "openapi"))]
mod imp {
    use ::axum::Router;

    use crate::contract::Contract;

    /// Adds nothing, because there is no document.
    pub(in super::super) fn routed<'a, S>(
        router: Router<S>,
        _: impl IntoIterator<Item = &'a Contract>,
    ) -> Router<S> {
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
    use serde_json::value::to_raw_value;
    use serde_json::{Map, Value, json};
    use time::OffsetDateTime;
    use time::macros::datetime;

    use super::super::access::permitted;
    use super::super::operation::{Body, Operation};
    use super::super::problem::Problem;
    use super::super::read::{DiscardBody, RecoverBody, RotateBody, TestBody};
    use super::super::shown::{
        AttemptShown, DeliveryShown, DeliveryWithAttempts, EventShown, EventTypeShown, Replayed,
        StatisticsShown, TestShown,
    };
    use crate::address::{AddressPolicy, EndpointUrl};
    use crate::bounds;
    use crate::contract::{Contract, FieldTarget, SubscriptionField};
    use crate::delivery::{Attempt, DeadReason, Delivery, DeliveryState};
    use crate::event::{EventId, EventKind, schema};
    use crate::id::{DeliveryId, SubscriptionId};
    use crate::manage::{SubscriptionDraft, SubscriptionPatch, SubscriptionView};
    use crate::outcome::{ErrorClass, Outcome, Timings};
    use crate::store::{Backlog, Count, EventRecord, Latency, Period, Statistics};
    use crate::subscription::{
        Condition, DisabledReason, EventFilter, Health, Options, Subscription, SubscriptionStatus,
    };

    /// Serves the document to every caller that may read.
    pub(in super::super) fn routed<'a, S: Clone + Send + Sync + 'static>(
        router: Router<S>,
        contracts: impl IntoIterator<Item = &'a Contract>,
    ) -> Router<S> {
        let text = serde_json::to_vec(&document_of(contracts)).expect("invariant: JSON can be written");
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

    /// Makes the document of a [router](super::super::router) for `contract`: every route with its
    /// parameters, body and answers.
    ///
    /// The fields of the contract's own stand in it too. Authentication does not; the application adds its
    /// own.
    ///
    /// ```
    /// use hookwire::Contract;
    /// use hookwire::manage::axum::openapi::document;
    ///
    /// let document = document(&Contract::allison());
    /// assert_eq!(document["openapi"], "3.1.0");
    /// assert!(document["paths"]["/v1/webhook-subscriptions"]["post"].is_object());
    /// ```
    pub fn document(contract: &Contract) -> Value {
        document_of([contract])
    }

    /// Makes the document of a [router](super::super::router) for several contracts.
    ///
    /// The schemas of a subscription and of its drafts and patches have an alternative for each contract,
    /// with the fields of its own.
    ///
    /// ```
    /// use hookwire::Contract;
    /// use hookwire::manage::axum::openapi::document_of;
    ///
    /// let document = document_of([&Contract::allison(), &Contract::allo()]);
    /// let schemas = &document["components"]["schemas"];
    /// assert_eq!(schemas["SubscriptionDraft"]["anyOf"][1]["title"], "allo");
    /// ```
    pub fn document_of<'a>(contracts: impl IntoIterator<Item = &'a Contract>) -> Value {
        let contracts: Vec<_> = contracts.into_iter().collect();
        let mut paths = Map::new();
        for operation in Operation::ALL {
            let path = paths.entry(operation.path()).or_insert_with(|| json!({}));
            path[operation.method().as_str().to_ascii_lowercase()] = described(operation);
        }
        paths.insert(
            PATH.into(),
            json!({"get": {
                "operationId": "ReadOpenApi",
                "summary": "Reads this document.",
                "responses": {"200": {"description": "The document.", "content": {"application/json": {"schema": {}}}},
                    "default": problem()},
            }}),
        );
        json!({
            "openapi": "3.1.0",
            "info": {"title": "Webhook subscriptions", "version": env!("CARGO_PKG_VERSION")},
            "paths": paths,
            "components": {"schemas": schemas(&contracts)},
        })
    }

    fn described(operation: Operation) -> Value {
        let path = operation.path().split('{').skip(1).filter_map(|rest| rest.split('}').next());
        let path = path
            .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
        let query = operation.query().iter().map(|name| {
            let schema = match *name {
                "limit" => {
                    json!({"type": "integer", "minimum": 1, "maximum": crate::manage::service::MAX_PAGE})
                }
                "slot_seconds" => json!({"type": "integer", "minimum": 1}),
                "since" | "until" => json!({"type": "string", "format": "date-time"}),
                "state" => json!({"type": "string", "enum": DeliveryState::ALL}),
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
            Operation::ListSubscriptions => {
                let mut subscriptions = page("Subscription");
                subscriptions["properties"]["unreadable"] = json!({
                    "type": "array",
                    "items": {"type": "string", "format": "uuid"},
                    "description": "The subscriptions that cannot be read. Their deliveries wait.",
                });
                subscriptions["required"] = json!(["data", "next", "unreadable"]);
                ok(subscriptions)
            }
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

    /// The name of a body's schema, and whether the body is required.
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

    /// The schema of one contract, or one with an alternative for each.
    fn of_each(contracts: &[&Contract], schema: impl Fn(&Contract) -> Value) -> Value {
        if let [contract] = contracts {
            return schema(contract);
        }
        let alternatives = contracts.iter().map(|contract| {
            let mut schema = schema(contract);
            schema["title"] = contract.name().into();
            schema["properties"]["contract"] = json!({"const": contract.name()});
            schema
        });
        json!({"anyOf": alternatives.collect::<Vec<_>>()})
    }

    fn schemas(contracts: &[&Contract]) -> Value {
        let attempts = || contracts.iter().flat_map(|contract| attempts(contract));
        let bodies = BTreeMap::from([
            ("SubscriptionDraft", of_each(contracts, draft)),
            ("SubscriptionPatch", of_each(contracts, patch)),
            ("Rotate", read::<RotateBody>(json!({"secret": "whsec_", "overlap_seconds": 60}))),
            ("Test", read::<TestBody>(json!({"event_type": "call.ended", "wait": false}))),
            ("Recover", read::<RecoverBody>(json!({"since": "2026-04-17T19:12:03Z"}))),
            ("Discard", {
                let mut schema = read::<DiscardBody>(json!({"note": "done by hand"}));
                bound(&mut schema, "note", "maxLength", bounds::NOTE);
                schema
            }),
        ]);
        let answers = BTreeMap::from([
            ("Subscription", of_each(contracts, subscription)),
            ("Delivery", written(&deliveries().map(DeliveryShown::from))),
            ("DeliveryWithAttempts", {
                let with = |delivery: Delivery| DeliveryWithAttempts {
                    delivery: delivery.into(),
                    attempt_log: attempts().collect(),
                };
                written(&deliveries().map(with))
            }),
            ("TestResult", {
                let test = |attempt| TestShown {
                    event_id: event_id(),
                    event_type: "call.ended".to_owned(),
                    delivery_id: DeliveryId::from_u128(1),
                    delivered: true,
                    attempt,
                };
                written(&attempts().map(test).collect::<Vec<_>>())
            }),
            ("Replayed", written(&[Replayed { replayed: 1 }])),
            ("Statistics", {
                let all = contracts.iter().flat_map(|contract| statistics(contract));
                written(&all.collect::<Vec<_>>())
            }),
            ("Event", {
                let mut schema = written(&events());
                schema["properties"]["attributes"] = attributes();
                schema["properties"]["payload"] = json!({});
                schema
            }),
            ("EventType", {
                let mut schema = written(&[EventTypeShown::of(&KIND)]);
                // Each type has a sample and a schema of its own.
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
        json!(bodies.into_iter().chain(answers).collect::<BTreeMap<_, _>>())
    }

    fn draft(contract: &Contract) -> Value {
        let mut sample = sample(contract);
        sample["secret"] = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into();
        let is_read = |value: &Value| {
            let draft = serde_json::from_value::<SubscriptionDraft>(value.clone());
            draft.is_ok_and(|draft| draft.fields.check(contract, SubscriptionDraft::FIELDS).is_ok())
        };
        let mut schema = schema::of(&sample, &is_read);
        // The reader takes a draft without `events`, because they may stand under the contract's own name.
        match name_of_events(contract) {
            Some(name) => schema["anyOf"] = json!([{"required": ["events"]}, {"required": [name]}]),
            None => schema["required"] = json!(["events", "url"]),
        }
        described_fields(schema, contract)
    }

    fn patch(contract: &Contract) -> Value {
        let is_read = |value: &Value| {
            let patch = serde_json::from_value::<SubscriptionPatch>(value.clone());
            patch.is_ok_and(|patch| patch.fields.check(contract, SubscriptionDraft::FIELDS).is_ok())
        };
        described_fields(schema::of(&sample(contract), &is_read), contract)
    }

    /// A draft with every field but the secret.
    fn sample(contract: &Contract) -> Value {
        let mut sample = json!({
            "url": "https://hooks.example.com/calls",
            "events": ["call.*"],
            "conditions": [{"part": "data", "pointer": "/location_id", "values": ["loc_1"]}],
            "attributes": {"contact_list": ["leads"]},
            "headers": {"x-tenant": "acme"},
            "authentication": {"type": "bearer", "token": "mF_9.B5f-4.1JqM"},
            "client_certificate": {"certificates": CERTIFICATE, "key": KEY},
            "max_in_flight": 4,
            "rate": {"per_second": 10.5, "burst": 20},
            "retry": {"type": "delays", "seconds": [60.5]},
            "enabled": true,
            "contract": "acme",
            "version": "v1",
        });
        for field in contract.subscription_fields() {
            match field.target() {
                FieldTarget::Text(_) => sample[field.name()] = field.example().into(),
                FieldTarget::Events | FieldTarget::List(_) => sample[field.name()] = json!([field.example()]),
            }
        }
        sample
    }

    /// Adds the bounds of fields, and the descriptions of the contract's own, to a schema.
    fn described_fields(mut schema: Value, contract: &Contract) -> Value {
        bound(&mut schema, "conditions", "maxItems", bounds::CONDITIONS);
        bound(&mut schema, "attributes", "maxProperties", bounds::CONDITIONS);
        bound(&mut schema, "headers", "maxProperties", bounds::HEADERS);
        let pointer = &mut schema["properties"]["conditions"]["items"];
        bound(pointer, "pointer", "maxLength", bounds::POINTER);
        for (name, what) in [
            (
                "events",
                format!("With conditions and attributes, at most {} bytes as JSON.", bounds::FILTER_LEN),
            ),
            ("headers", format!("Names and values together have at most {} bytes.", bounds::HEADERS_LEN)),
        ] {
            schema["properties"][name]["description"] = what.into();
        }
        for field in contract.subscription_fields() {
            schema["properties"][field.name()]["description"] = field.description().into();
        }
        schema
    }

    fn name_of_events(contract: &Contract) -> Option<&'static str> {
        let mut fields = contract.subscription_fields().iter();
        fields.find(|field| field.target() == FieldTarget::Events).map(SubscriptionField::name)
    }

    /// Adds a bound to a field of a schema.
    fn bound(schema: &mut Value, field: &str, keyword: &str, most: usize) {
        schema["properties"][field][keyword] = most.into();
    }

    /// The schema of a body, found by trying values on its reader.
    fn read<T: DeserializeOwned>(sample: Value) -> Value {
        schema::of(&sample, &|value| serde_json::from_value::<T>(value.clone()).is_ok())
    }

    /// The schema of an answer, found by writing samples with every field and with none.
    fn written<T: Serialize>(samples: &[T]) -> Value {
        let samples: Vec<_> = samples
            .iter()
            .map(|sample| serde_json::to_value(sample).expect("invariant: what is shown can be written"))
            .collect();
        schema::of_samples(&samples.iter().collect::<Vec<_>>())
    }

    fn subscription(contract: &Contract) -> Value {
        let mut schema = written(&[full_view(contract), bare_view(contract)]);
        schema["properties"]["attributes"] = attributes();
        schema["properties"]["conditions"]["items"]["properties"]["values"]["items"] = json!({});
        for field in
            contract.subscription_fields().iter().filter(|field| field.target().attribute().is_some())
        {
            schema["properties"][field.name()]["description"] = field.description().into();
        }
        schema
    }

    fn bare_view(contract: &Contract) -> SubscriptionView {
        SubscriptionView::of(&bare_subscription(), Some(contract), AT)
    }

    fn full_view(contract: &Contract) -> SubscriptionView {
        let mut subscription = bare_subscription();
        let full = || {
            let mut filter =
                EventFilter::all().with_condition(Condition::data("/location_id", ["loc_1"])?)?;
            for field in contract.subscription_fields() {
                if let Some(attribute) = field.target().attribute() {
                    filter = filter.with_attribute(attribute, [field.example()])?;
                }
            }
            let options = Options::new().with_max_in_flight(4)?.with_rate(10.5, 20)?;
            let options =
                options.with_retry_delays([Duration::from_millis(500)])?.with_header("x-tenant", "acme")?;
            Ok::<_, crate::Error>((filter, options))
        };
        (subscription.filter, subscription.options) = full().expect("invariant: each of these is taken");
        subscription = subscription.with_secret(crate::Secret::from_random([1; 32]));
        subscription.status = SubscriptionStatus::disabled(DisabledReason::Gone, AT);
        subscription.health = Health::default().failed(AT, None);
        SubscriptionView::of(&subscription, Some(contract), AT)
    }

    fn bare_subscription() -> Subscription {
        let url = EndpointUrl::parse("https://hooks.example.com/", &AddressPolicy::new());
        let url = url.expect("invariant: a public https URL is taken");
        let id = SubscriptionId::from_u128(1);
        Subscription::from_parts(id, AT, "org_1", &Contract::allison(), url, EventFilter::all())
    }

    fn deliveries() -> [Delivery; 2] {
        let event_type: crate::EventType = "call.ended".parse().expect("invariant: it is a type's name");
        let delivery = || {
            Delivery::new(
                DeliveryId::from_u128(1),
                SubscriptionId::from_u128(1),
                Contract::allison().id().clone(),
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

    fn attempts(contract: &Contract) -> [AttemptShown; 2] {
        let mut timings = Timings::new(Duration::from_millis(1));
        timings.dns = Some(Duration::from_millis(1));
        (timings.connect, timings.tls, timings.first_byte) = (timings.dns, timings.dns, timings.dns);
        let answered = Outcome::answered(StatusCode::OK);
        let failed = Outcome::Failed(ErrorClass::Timeout);
        [
            Attempt::new(1, AT, Duration::from_millis(1), answered).with_timings(timings),
            Attempt::new(2, AT, Duration::from_millis(1), failed),
        ]
        .map(|attempt| AttemptShown::of(attempt, contract))
    }

    fn statistics(contract: &Contract) -> [StatisticsShown; 2] {
        let period = Period::new(AT, AT, Duration::from_secs(60));
        let counts = [Outcome::answered(StatusCode::OK), Outcome::Failed(ErrorClass::Timeout)];
        let mut full = Statistics::from_counts(&period, counts.map(|outcome| (0, Count::new(outcome, 1))));
        full.latency = Latency::of(vec![Duration::from_millis(1)]);
        full.health = Health::default().failed(AT, None);
        full.backlog = Backlog::new(1, Some(AT));
        [full, Statistics::default()].map(|counted| StatisticsShown::of(counted, &period, contract))
    }

    fn events() -> [EventShown; 2] {
        let event_type: crate::EventType = "call.ended".parse().expect("invariant: it is a type's name");
        let mut full = EventRecord::new(Contract::allison().id().clone(), event_id(), event_type, AT);
        let bare = full.clone();
        full.payload = Some(Bytes::from_static(b"{}"));
        [full.into(), bare.into()]
    }

    /// The schema of attributes, with names that the application chooses.
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
            "description": "The call failed, with the reason (RFC 9457).",
            "content": {"application/problem+json": {"schema": named("Problem")}},
        })
    }

    fn header(name: &str, about: &str) -> Value {
        json!({"name": name, "in": "header", "description": about, "schema": {"type": "string"}})
    }

    /// A sample of an event type.
    const KIND: EventKind =
        EventKind::new("call.ended", "", || to_raw_value("").expect("invariant: text is JSON"), |_| Ok(()));
    const PATH: &str = "/v1/openapi.json";
    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
    const AT: OffsetDateTime = datetime!(2026-04-17 19:12:03 UTC);
}
