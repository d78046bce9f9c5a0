//! The operations of the document: parameters, bodies, answers and problems.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::fields::{array, date_time, named, nullable, object};
use crate::bounds;
use crate::delivery::DeliveryState;
use crate::manage::IdempotencyKey;
use crate::manage::axum::operation::{Body, Operation};

/// The groups of operations.
pub(super) fn tags() -> Value {
    json!([
        {"name": "Subscriptions", "description": "URLs that events are sent to, and their secrets."},
        {"name": "Deliveries", "description": "Events on their way to a subscription, their attempts, and statistics."},
        {"name": "Events", "description": "Events and their types."},
        {"name": "Document", "description": "What there is: this document, the caller, and the rules."},
    ])
}

/// The path item of the document itself.
pub(super) fn of_document() -> Value {
    json!({"get": {
        "operationId": "ReadOpenApi",
        "tags": ["Document"],
        "summary": "Reads this document.",
        "responses": {
            "200": {
                "description": "The document.",
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            "400": problem("The request cannot be used."),
            "401": problem("The request is not authenticated."),
            "default": problem("The call failed."),
        },
    }})
}

pub(super) fn described(operation: Operation) -> Value {
    let mut described = json!({
        "operationId": operation.id(),
        "tags": [tag(operation)],
        "summary": operation.summary(),
        "parameters": parameters(operation),
        "responses": {"default": problem("The call failed.")},
    });
    for (status, schema) in answers(operation) {
        let mut answer = json!({"description": operation.summary()});
        if let Some(schema) = schema {
            answer["content"] = json!({"application/json": {"schema": schema}});
        }
        let headers = headers(operation, status);
        if headers.as_object().is_some_and(|headers| !headers.is_empty()) {
            answer["headers"] = headers;
        }
        described["responses"][status.as_str()] = answer;
    }
    if operation.method() == Method::GET {
        described["responses"]["304"] = json!({"description": "The caller has this answer already."});
    }
    for (status, about) in problems(operation) {
        described["responses"][status.as_str()] = problem(about);
    }
    if let Some((name, is_required)) = body(operation.body()) {
        described["requestBody"] =
            json!({"required": is_required, "content": {"application/json": {"schema": named(name)}}});
    }
    described
}

const fn tag(operation: Operation) -> &'static str {
    match operation {
        Operation::ListSubscriptions
        | Operation::CreateSubscription
        | Operation::ReadSubscription
        | Operation::ReplaceSubscription
        | Operation::UpdateSubscription
        | Operation::DeleteSubscription
        | Operation::RotateSecret
        | Operation::SendTest => "Subscriptions",
        Operation::ReplayDeadLetters
        | Operation::Recover
        | Operation::ReadStatistics
        | Operation::ListDeliveries
        | Operation::ReadDelivery
        | Operation::FindDelivery
        | Operation::RetryDelivery
        | Operation::CancelDelivery
        | Operation::DiscardDelivery
        | Operation::ListDeadLetters
        | Operation::ListEventDeliveries => "Deliveries",
        Operation::ListEventTypes | Operation::ListEvents | Operation::EmitEvents | Operation::ReadEvent => {
            "Events"
        }
        Operation::ReadSession | Operation::ReadContracts => "Document",
    }
}

fn parameters(operation: Operation) -> Vec<Value> {
    let path = operation.path().split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let path = path.map(|name| {
        let about = match name {
            "id" => "The id of the subscription.",
            "delivery" => "The id of the delivery.",
            _ => "The id of the event.",
        };
        let schema = json!({"type": "string", "minLength": 1});
        json!({"name": name, "in": "path", "required": true, "description": about, "schema": schema})
    });
    let query = operation.query().iter().map(|name| {
        let (about, schema) = match *name {
            "after" => ("`next` of a page of this list.", json!({"type": "string", "format": "cursor"})),
            "limit" => (
                "The most items of the page.",
                json!({"type": "integer", "minimum": 1, "maximum": crate::manage::service::MAX_PAGE, "default": 50}),
            ),
            "slot_seconds" => (
                "The length of a slot of time.",
                json!({"type": "integer", "minimum": 1, "default": 3_600}),
            ),
            "since" => ("Only from this time on.", date_time()),
            "until" => ("Only before this time.", date_time()),
            "state" => ("Only deliveries in this state.", json!({"type": "string", "enum": DeliveryState::ALL})),
            "event_type" => ("Only those of this type of events.", event_type()),
            "status" => {
                let choice = json!({"type": "string", "enum": ["enabled", "disabled", "failing"]});
                ("Only subscriptions with this status; `failing` ones are enabled.", choice)
            }
            "uid" => ("Only subscriptions with this name of your own.", json!({"type": "string"})),
            _ => ("", json!({"type": "string"})),
        };
        json!({"name": name, "in": "query", "description": about, "schema": schema})
    });
    let mut parameters: Vec<_> = path.chain(query).collect();
    if operation.method() == Method::GET {
        parameters.push(json!({
            "name": "If-None-Match",
            "in": "header",
            "description": "The `ETag` of an answer that the caller has: the answer is 304 if it is the same.",
            "schema": {"type": "string"},
        }));
    }
    if takes_key(operation) {
        parameters.push(json!({
            "name": "Idempotency-Key",
            "in": "header",
            "description": "Makes one of however many requests with the same key and body.",
            "schema": {
                "type": "string", "minLength": 1, "maxLength": IdempotencyKey::MAX_LEN, "pattern": "^[!-~]+$",
            },
        }));
    }
    if takes_tag(operation) {
        parameters.push(json!({
            "name": "If-Match",
            "in": "header",
            "description": "The subscription's `ETag`, so that nobody else's change is lost, or `*`.",
            "schema": {"type": "string", "pattern": "^(?:\\*|(?:W/)?\"[0-9a-f]*\")$"},
        }));
    }
    parameters
}

fn event_type() -> Value {
    json!({
        "type": "string",
        "minLength": 1,
        "maxLength": bounds::EVENT_TYPE,
        "pattern": "^[ -~]+$",
    })
}

const fn takes_key(operation: Operation) -> bool {
    matches!(operation, Operation::CreateSubscription | Operation::EmitEvents)
}

fn takes_tag(operation: Operation) -> bool {
    matches!(operation.method(), Method::PUT | Method::PATCH | Method::DELETE)
        || operation == Operation::RotateSecret
}

fn answers(operation: Operation) -> Vec<(StatusCode, Option<Value>)> {
    let one = |name| object([("data", named(name))], &["data"]);
    let page = |name| {
        let next = json!({"type": ["string", "null"], "description": "`after` of the next page; `null` on the last."});
        object([("data", array(named(name))), ("next", next)], &["data", "next"])
    };
    let secret = || {
        let text = |about: &str| nullable(json!({"type": "string", "description": about}));
        object(
            [
                ("data", named("Subscription")),
                ("secret", text("The secret, which no other answer shows.")),
                ("warning", text("Words to show beside it.")),
            ],
            &["data", "secret", "warning"],
        )
    };
    let ok = |schema| vec![(StatusCode::OK, Some(schema))];
    match operation {
        Operation::ListSubscriptions => {
            let mut subscriptions = page("Subscription");
            subscriptions["properties"]["unreadable"] = json!({
                "type": "array",
                "items": {"type": "string"},
                "description": "The subscriptions that cannot be read. Their deliveries wait.",
            });
            subscriptions["required"] = json!(["data", "next", "unreadable"]);
            ok(subscriptions)
        }
        Operation::CreateSubscription => vec![(StatusCode::CREATED, Some(secret()))],
        Operation::ReadSubscription | Operation::ReplaceSubscription | Operation::UpdateSubscription => {
            ok(one("Subscription"))
        }
        Operation::RotateSecret => ok(secret()),
        Operation::SendTest => vec![(StatusCode::OK, Some(one("TestResult"))), (StatusCode::ACCEPTED, None)],
        Operation::ReplayDeadLetters | Operation::Recover => ok(one("Replayed")),
        Operation::ReadStatistics => ok(one("Statistics")),
        Operation::ListDeliveries | Operation::ListDeadLetters | Operation::ListEventDeliveries => {
            ok(page("Delivery"))
        }
        Operation::ReadDelivery | Operation::FindDelivery => ok(one("DeliveryWithAttempts")),
        Operation::ReadSession => ok(one("Session")),
        Operation::ReadContracts => ok(page("Contract")),
        Operation::RetryDelivery => ok(one("Retried")),
        Operation::ListEventTypes => ok(page("EventType")),
        Operation::ReadEvent => ok(one("EventWithPayload")),
        Operation::ListEvents => ok(page("Event")),
        Operation::EmitEvents => {
            let several = object([("data", array(named("Emitted")))], &["data"]);
            let emitted = json!({"anyOf": [named("Emitted"), several]});
            vec![(StatusCode::ACCEPTED, Some(emitted.clone())), (StatusCode::OK, Some(emitted))]
        }
        Operation::DeleteSubscription | Operation::CancelDelivery | Operation::DiscardDelivery => {
            vec![(StatusCode::NO_CONTENT, None)]
        }
    }
}

/// The headers of an answer.
fn headers(operation: Operation, status: StatusCode) -> Value {
    let mut headers = json!({});
    let shows_one = matches!(
        operation,
        Operation::CreateSubscription
            | Operation::ReadSubscription
            | Operation::ReplaceSubscription
            | Operation::UpdateSubscription
            | Operation::RotateSecret
    );
    if shows_one {
        headers["ETag"] =
            json!({"description": "The subscription's revision.", "schema": {"type": "string"}});
    } else if operation.method() == Method::GET {
        headers["ETag"] = json!({"description": "A hash of the answer.", "schema": {"type": "string"}});
    }
    if status == StatusCode::CREATED {
        headers["Location"] =
            json!({"description": "The subscription's path.", "schema": {"type": "string"}});
    }
    if takes_key(operation) {
        headers["Idempotency-Replayed"] = json!({
            "description": "There if a request with this key was carried out before.",
            "schema": {"type": "string", "const": "true"},
        });
    }
    headers
}

/// The problems that an operation may answer with, beside those that any may.
fn problems(operation: Operation) -> Vec<(StatusCode, &'static str)> {
    let mut problems = vec![
        (StatusCode::BAD_REQUEST, "The request cannot be used; `field` says which part."),
        (StatusCode::UNAUTHORIZED, "The request is not authenticated."),
        (StatusCode::SERVICE_UNAVAILABLE, "The store does not answer now."),
    ];
    let body = operation.body();
    for (applies, status, about) in [
        (operation.writes(), StatusCode::FORBIDDEN, "The caller may read only."),
        (operation.path().contains('{'), StatusCode::NOT_FOUND, "The organization has no such item."),
        (operation.writes(), StatusCode::CONFLICT, "The present state does not allow it."),
        (takes_tag(operation), StatusCode::PRECONDITION_FAILED, "Somebody else changed it since."),
        (body != Body::None, StatusCode::PAYLOAD_TOO_LARGE, "The body is too large."),
        (body != Body::None, StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is not JSON."),
        (takes_key(operation), StatusCode::UNPROCESSABLE_ENTITY, "The key belongs to another request."),
        (operation == Operation::SendTest, StatusCode::TOO_MANY_REQUESTS, "Too many test events were sent."),
        (operation == Operation::SendTest, StatusCode::NOT_IMPLEMENTED, "Test events are not set up."),
    ] {
        if applies {
            problems.push((status, about));
        }
    }
    problems
}

/// The name of a body's schema, and whether the body is required.
const fn body(body: Body) -> Option<(&'static str, bool)> {
    match body {
        Body::None => None,
        Body::Draft => Some(("SubscriptionDraft", true)),
        Body::Replacement => Some(("SubscriptionReplacement", true)),
        Body::Patch => Some(("SubscriptionPatch", true)),
        Body::Rotate => Some(("Rotate", false)),
        Body::Test => Some(("Test", false)),
        Body::Recover => Some(("Recover", true)),
        Body::Discard => Some(("Discard", false)),
        Body::Events => Some(("Events", true)),
    }
}

fn problem(about: &str) -> Value {
    json!({
        "description": about,
        "content": {"application/problem+json": {"schema": named("Problem")}},
    })
}
