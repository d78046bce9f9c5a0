//! [`Operation`]: every call that the router takes, with what is to be known of it.

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

            /// The names of its query's parameters.
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
    ListSubscriptions: GET "/v1/webhook-subscriptions" ["after", "limit"] Read None,
        "The organization's subscriptions, oldest first.";
    CreateSubscription: POST "/v1/webhook-subscriptions" [] Write Draft,
        "Makes a subscription. The answer shows its secret, this once.";
    ReadSubscription: GET "/v1/webhook-subscriptions/{id}" [] Read None,
        "A subscription.";
    ReplaceSubscription: PUT "/v1/webhook-subscriptions/{id}" [] Write Draft,
        "Replaces a subscription; its secrets stay.";
    UpdateSubscription: PATCH "/v1/webhook-subscriptions/{id}" [] Write Patch,
        "Changes the fields that are named; null takes one out.";
    DeleteSubscription: DELETE "/v1/webhook-subscriptions/{id}" [] Write None,
        "Deletes a subscription and cancels what is pending.";
    RotateSecret: POST "/v1/webhook-subscriptions/{id}/rotate-secret" [] Write Rotate,
        "Replaces the secret, at once or with an overlap. The answer shows the new one, this once.";
    SendTest: POST "/v1/webhook-subscriptions/{id}/test" [] Write Test,
        "Sends a sample event and tells what came of it.";
    ReplayDeadLetters: POST "/v1/webhook-subscriptions/{id}/replay" [] Write None,
        "Sends every dead letter again.";
    Recover: POST "/v1/webhook-subscriptions/{id}/recover" [] Write Recover,
        "Sends everything again that was made since a time and not delivered.";
    ReadStatistics: GET "/v1/webhook-subscriptions/{id}/statistics" ["since", "until", "slot_seconds"] Read None,
        "What came of the attempts of a period, by default the last day by the hour.";
    ListDeliveries: GET "/v1/webhook-subscriptions/{id}/deliveries"
        ["after", "limit", "state", "event_type", "since", "until"] Read None,
        "A subscription's deliveries, newest first.";
    ReadDelivery: GET "/v1/webhook-subscriptions/{id}/deliveries/{delivery}" [] Read None,
        "A delivery with its attempts.";
    RetryDelivery: POST "/v1/webhook-subscriptions/{id}/deliveries/{delivery}/retry" [] Write None,
        "Sends a delivery's event again.";
    CancelDelivery: POST "/v1/webhook-subscriptions/{id}/deliveries/{delivery}/cancel" [] Write None,
        "Cancels a pending delivery.";
    DiscardDelivery: POST "/v1/webhook-subscriptions/{id}/deliveries/{delivery}/discard" [] Write Discard,
        "Takes a dead letter from the lists, with a note why.";
    ListDeadLetters: GET "/v1/dead-letters" ["after", "limit"] Read None,
        "The organization's dead letters, newest first.";
    ListEventTypes: GET "/v1/event-types" [] Read None,
        "The types of events there are, with samples and schemas.";
    ListEvents: GET "/v1/events" ["after", "limit"] Read None,
        "The organization's events, newest first.";
    ReadEvent: GET "/v1/events/{event}" [] Read None,
        "An event with its payload, as far as that is kept.";
    ListEventDeliveries: GET "/v1/events/{event}/deliveries" ["after", "limit"] Read None,
        "An event's deliveries.";
}

/// What a request's body is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Body {
    None,
    Draft,
    Patch,
    Rotate,
    Test,
    Recover,
    Discard,
}

enum Scope {
    Read,
    Write,
}
