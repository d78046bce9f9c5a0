//! [`Operation`]: every call of the router, with its method, path, query, scope and body.

use http::Method;

macro_rules! operations {
    ($($name:ident: $method:ident $path:literal [$($query:literal),*] $scope:ident $body:ident, $summary:literal;)+) => {
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub(super) enum Operation {
            $($name,)+
        }

        impl Operation {
            pub(super) const ALL: [Self; <[&str]>::len(&[$($path),+])] = [$(Self::$name),+];

            pub(super) const fn method(self) -> Method {
                match self {
                    $(Self::$name => Method::$method,)+
                }
            }

            pub(super) const fn path(self) -> &'static str {
                match self {
                    $(Self::$name => $path,)+
                }
            }

            /// The names of the query's parameters.
            pub(super) const fn query(self) -> &'static [&'static str] {
                match self {
                    $(Self::$name => &[$($query),*],)+
                }
            }

            pub(super) const fn writes(self) -> bool {
                match self {
                    $(Self::$name => matches!(Scope::$scope, Scope::Write),)+
                }
            }

            pub(super) const fn body(self) -> Body {
                match self {
                    $(Self::$name => Body::$body,)+
                }
            }

            pub(super) const fn takes_body(self) -> bool {
                !matches!(self.body(), Body::None)
            }

            #[cfg_attr(not(feature = "openapi"), allow(dead_code))]
            pub(super) const fn summary(self) -> &'static str {
                match self {
                    $(Self::$name => $summary,)+
                }
            }

            #[cfg_attr(not(feature = "openapi"), allow(dead_code))]
            pub(super) const fn id(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }
        }
    };
}

operations! {
    ListSubscriptions: GET "/v1/webhook-subscriptions" ["after", "limit", "status", "event_type", "uid"] Read None,
        "Lists the organization's subscriptions, oldest first.";
    CreateSubscription: POST "/v1/webhook-subscriptions" [] Write Draft,
        "Makes a subscription. Only this answer shows its secret.";
    ReadSubscription: GET "/v1/webhook-subscriptions/{id}" [] Read None,
        "Reads a subscription.";
    ReplaceSubscription: PUT "/v1/webhook-subscriptions/{id}" [] Write Replacement,
        "Replaces a subscription; its secrets stay.";
    UpdateSubscription: PATCH "/v1/webhook-subscriptions/{id}" [] Write Patch,
        "Changes the fields that are named; null takes a field out.";
    DeleteSubscription: DELETE "/v1/webhook-subscriptions/{id}" [] Write None,
        "Deletes a subscription and cancels its pending deliveries.";
    RotateSecret: POST "/v1/webhook-subscriptions/{id}/rotate-secret" [] Write Rotate,
        "Replaces the secret, at once or with an overlap. Only this answer shows the new one.";
    SendTest: POST "/v1/webhook-subscriptions/{id}/test" [] Write Test,
        "Sends a sample event and answers with the outcome.";
    ReplayDeadLetters: POST "/v1/webhook-subscriptions/{id}/replay" [] Write None,
        "Sends every dead letter again.";
    Recover: POST "/v1/webhook-subscriptions/{id}/recover" [] Write Recover,
        "Sends again the deliveries that were made since a time and were not delivered.";
    ReadStatistics: GET "/v1/webhook-subscriptions/{id}/statistics" ["since", "until", "slot_seconds"] Read None,
        "Counts the outcomes of attempts in a period, by default of the last day by the hour.";
    ListDeliveries: GET "/v1/webhook-subscriptions/{id}/deliveries"
        ["after", "limit", "state", "event_type", "since", "until"] Read None,
        "Lists a subscription's deliveries, newest first.";
    ReadDelivery: GET "/v1/webhook-subscriptions/{id}/deliveries/{delivery}" [] Read None,
        "Reads a delivery with its attempts.";
    RetryDelivery: POST "/v1/webhook-subscriptions/{id}/deliveries/{delivery}/retry" [] Write None,
        "Sends a delivery's event again.";
    CancelDelivery: POST "/v1/webhook-subscriptions/{id}/deliveries/{delivery}/cancel" [] Write None,
        "Cancels a pending delivery.";
    DiscardDelivery: POST "/v1/webhook-subscriptions/{id}/deliveries/{delivery}/discard" [] Write Discard,
        "Takes a dead letter from the lists, with a note that says why.";
    FindDelivery: GET "/v1/deliveries/{delivery}" [] Read None,
        "Reads a delivery of any subscription with its attempts.";
    ReadSession: GET "/v1/session" [] Read None,
        "Reads what the caller may do, and the time.";
    ReadContracts: GET "/v1/contract" [] Read None,
        "Reads how requests are sent: headers, timeout, schedule, rules.";
    ListDeadLetters: GET "/v1/dead-letters" ["after", "limit"] Read None,
        "Lists the organization's dead letters, newest first.";
    ListEventTypes: GET "/v1/event-types" [] Read None,
        "Lists the event types, with samples and schemas.";
    ListEvents: GET "/v1/events" ["after", "limit"] Read None,
        "Lists the organization's events, newest first.";
    EmitEvents: POST "/v1/events" [] Write Events,
        "Emits an event, or several of one contract: all or none.";
    ReadEvent: GET "/v1/events/{event}" [] Read None,
        "Reads an event with its payload, if the payload is still stored.";
    ListEventDeliveries: GET "/v1/events/{event}/deliveries" ["after", "limit"] Read None,
        "Lists an event's deliveries.";
}

/// The kind of a request's body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Body {
    None,
    Draft,
    Replacement,
    Patch,
    Rotate,
    Test,
    Recover,
    Discard,
    Events,
}

enum Scope {
    Read,
    Write,
}
