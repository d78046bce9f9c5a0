//! What each operation does with the service.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, HeaderMap, LOCATION};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use super::operation::Operation;
use super::problem::Problem;
use super::query::Query;
use super::read::{
    DiscardBody, RecoverBody, RotateBody, TestBody, header, json_body, optional_body, revisions,
};
use super::shown::{
    AttemptShown, DeliveryShown, DeliveryWithAttempts, EventShown, EventTypeShown, Many, One, Replayed,
    StatisticsShown, TestShown, WithSecret,
};
use crate::delivery::DeliveryState;
use crate::event::EventId;
use crate::id::{DeliveryId, SubscriptionId};
use crate::manage::{IdempotencyKey, ManageError, Revision, Rotate, Service, Shown, SubscriptionView};
use crate::signature::Secret;
use crate::store::{DeliveryQuery, Period, Records};

/// A request that may do what it asks for.
pub(super) struct Call<'a, R> {
    pub(super) service: &'a Arc<Service<R>>,
    pub(super) organization: &'a str,
    pub(super) path: HashMap<String, String>,
    pub(super) query: Query,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: Bytes,
}

impl<R: Records + 'static> Call<'_, R> {
    pub(super) async fn answer(&self, operation: Operation) -> Result<Response, Problem> {
        match operation {
            Operation::ListSubscriptions => {
                let (after, limit) = (self.query.after()?, self.query.limit()?);
                Ok(ok(&Many::of(self.service.list(self.organization, after, limit).await?)))
            }
            Operation::CreateSubscription => self.create().await,
            Operation::ReadSubscription => {
                Ok(subscription(&self.service.get(self.organization, self.id()?).await?))
            }
            Operation::ReplaceSubscription => {
                let id = self.id()?;
                let draft = json_body(self.headers, &self.body)?;
                let seen = self.seen(id).await?;
                let replaced = self.service.replace(self.organization, id, draft, seen).await;
                Ok(subscription(&replaced.map_err(|error| told(error, seen))?))
            }
            Operation::UpdateSubscription => {
                let id = self.id()?;
                let patch = json_body(self.headers, &self.body)?;
                let seen = self.seen(id).await?;
                let updated = self.service.update(self.organization, id, patch, seen).await;
                Ok(subscription(&updated.map_err(|error| told(error, seen))?))
            }
            Operation::DeleteSubscription => {
                let id = self.id()?;
                self.seen(id).await?;
                self.service.delete(self.organization, id).await?;
                Ok(done())
            }
            Operation::RotateSecret => self.rotate().await,
            Operation::SendTest => self.test().await,
            Operation::ReplayDeadLetters => {
                let replayed = self.service.replay_dead_letters(self.organization, self.id()?).await?;
                Ok(ok(&One { data: Replayed { replayed } }))
            }
            Operation::Recover => {
                let id = self.id()?;
                let RecoverBody { since } = json_body(self.headers, &self.body)?;
                let replayed = self.service.recover(self.organization, id, since).await?;
                Ok(ok(&One { data: Replayed { replayed } }))
            }
            Operation::ReadStatistics => self.statistics().await,
            Operation::ListDeliveries => self.deliveries().await,
            Operation::ReadDelivery => {
                let found = self.delivery().await?;
                let contract = self.service.contract();
                let attempts = found.attempts.into_iter();
                Ok(ok(&One {
                    data: DeliveryWithAttempts {
                        delivery: found.delivery.into(),
                        attempt_log: attempts.map(|attempt| AttemptShown::of(attempt, contract)).collect(),
                    },
                }))
            }
            Operation::RetryDelivery => {
                self.service.retry(self.organization, self.delivery().await?.delivery.id).await?;
                Ok(done())
            }
            Operation::CancelDelivery => {
                self.service.cancel(self.organization, self.delivery().await?.delivery.id).await?;
                Ok(done())
            }
            Operation::DiscardDelivery => {
                let id = self.delivery().await?.delivery.id;
                let DiscardBody { note } = optional_body(self.headers, &self.body)?;
                self.service.discard(self.organization, id, &note).await?;
                Ok(done())
            }
            Operation::ListDeadLetters => {
                let (after, limit) = (self.query.after()?, self.query.limit()?);
                let page = self.service.dead_letters(self.organization, after, limit).await?;
                Ok(ok(&Many::of(page.map(DeliveryShown::from))))
            }
            Operation::ListEventTypes => {
                let kinds = self.service.contract().catalogue().iter();
                Ok(ok(&Many::all(kinds.map(EventTypeShown::of).collect())))
            }
            Operation::ListEvents => {
                let (after, limit) = (self.query.after()?, self.query.limit()?);
                let page = self.service.events(self.organization, after, limit).await?;
                Ok(ok(&Many::of(page.map(EventShown::from))))
            }
            Operation::ReadEvent => {
                let event = self.service.event(self.organization, &self.event()?).await?;
                Ok(ok(&One { data: EventShown::from(event) }))
            }
            Operation::ListEventDeliveries => {
                let event = self.event()?;
                let (after, limit) = (self.query.after()?, self.query.limit()?);
                let page = self.service.event_deliveries(self.organization, &event, after, limit).await?;
                Ok(ok(&Many::of(page.map(DeliveryShown::from))))
            }
        }
    }

    async fn create(&self) -> Result<Response, Problem> {
        let draft = json_body(self.headers, &self.body)?;
        let made = match header(self.headers, &HeaderName::from_static("idempotency-key"))? {
            Some(key) => {
                let key = IdempotencyKey::new(key, &self.body)?;
                self.service.create_once(self.organization, draft, &key).await?
            }
            None => self.service.create(self.organization, draft).await?,
        };
        let mut response = with_secret(StatusCode::CREATED, &made);
        let path = format!("{}/{}", Operation::CreateSubscription.path(), made.subscription.id);
        let headers = response.headers_mut();
        headers.insert(LOCATION, HeaderValue::try_from(path).expect("invariant: an id is ASCII"));
        if made.is_repeat {
            headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
        }
        Ok(response)
    }

    async fn rotate(&self) -> Result<Response, Problem> {
        let id = self.id()?;
        let body: RotateBody = optional_body(self.headers, &self.body)?;
        let seen = self.seen(id).await?;
        let mut rotate = Rotate::new();
        rotate.secret = body.secret;
        rotate.overlap = body.overlap_seconds.map(Duration::from_secs);
        rotate.seen = seen;
        let rotated = self.service.rotate(self.organization, id, rotate).await;
        let rotated = rotated.map_err(|error| match error {
            // As the client sent it.
            ManageError::Refused(mut refusal) if refusal.field == "overlap" => {
                refusal.field = "overlap_seconds".into();
                ManageError::Refused(refusal).into()
            }
            error => told(error, seen),
        })?;
        Ok(with_secret(StatusCode::OK, &rotated))
    }

    async fn test(&self) -> Result<Response, Problem> {
        let id = self.id()?;
        let TestBody { event_type, wait } = optional_body(self.headers, &self.body)?;
        if !wait {
            // What can be refused is, before it goes on by itself.
            self.service.check_test(self.organization, id, event_type.as_deref()).await?;
            let (service, organization) = (Arc::clone(self.service), self.organization.to_owned());
            tokio::spawn(async move { service.send_test(&organization, id, event_type.as_deref()).await });
            return Ok(StatusCode::ACCEPTED.into_response());
        }
        let tested = self.service.send_test(self.organization, id, event_type.as_deref()).await?;
        Ok(ok(&One {
            data: TestShown {
                event_id: tested.event,
                event_type: tested.event_type.to_string(),
                delivery_id: tested.delivery,
                delivered: tested.is_delivered,
                attempt: AttemptShown::of(tested.attempt, self.service.contract()),
            },
        }))
    }

    async fn statistics(&self) -> Result<Response, Problem> {
        let id = self.id()?;
        let until = self.query.time("until")?.unwrap_or_else(|| self.service.now());
        let since =
            match self.query.time("since")? {
                Some(since) => since,
                // Of a year before 0 RFC 3339 has no text.
                None => until.checked_sub(time::Duration::DAY).filter(|since| since.year() >= 0).ok_or_else(
                    || Problem::field("until", "no day is before it", "a later time, or `since` beside it"),
                )?,
            };
        let slot = self.query.read("slot_seconds", "a number of seconds from 1 on")?.unwrap_or(3_600);
        let period = Period::new(since, until, Duration::from_secs(slot));
        let told = self.service.statistics(self.organization, id, &period).await;
        let told = told.map_err(|error| match error {
            ManageError::Refused(mut refusal) if refusal.field == "slot" => {
                refusal.field = "slot_seconds".into();
                ManageError::Refused(refusal)
            }
            error => error,
        })?;
        Ok(ok(&One { data: StatisticsShown::of(told, &period, self.service.contract()) }))
    }

    async fn deliveries(&self) -> Result<Response, Problem> {
        let mut asked = DeliveryQuery::new(self.id()?);
        if let Some(text) = self.query.text("state") {
            let states = || DeliveryState::ALL.map(DeliveryState::as_str).join(", ");
            let state = DeliveryState::parse(text).ok_or_else(|| {
                Problem::field("state", "there is no such state", format!("of these: {}", states()))
            })?;
            asked = asked.with_state(state);
        }
        if let Some(event_type) = self.query.read("event_type", "the name of a type of events")? {
            asked = asked.with_event_type(event_type);
        }
        (asked.since, asked.until) = (self.query.time("since")?, self.query.time("until")?);
        let (after, limit) = (self.query.after()?, self.query.limit()?);
        let page = self.service.deliveries(self.organization, &asked, after, limit).await?;
        Ok(ok(&Many::of(page.map(DeliveryShown::from))))
    }

    /// The delivery that the path names, if it is that subscription's.
    async fn delivery(&self) -> Result<crate::manage::DeliveryDetail, Problem> {
        let id: DeliveryId = self.named("delivery", "delivery")?;
        let found = self.service.delivery(self.organization, id).await?;
        if found.delivery.subscription != self.id()? {
            return Err(ManageError::NotFound { what: "delivery" }.into());
        }
        Ok(found)
    }

    fn id(&self) -> Result<SubscriptionId, Problem> {
        self.named("id", "subscription")
    }

    fn event(&self) -> Result<EventId, Problem> {
        self.named("event", "event")
    }

    /// An id that cannot be one is none of this organization's.
    fn named<T: std::str::FromStr>(&self, name: &str, what: &'static str) -> Result<T, Problem> {
        let id = self.path.get(name).and_then(|id| id.parse().ok());
        id.ok_or_else(|| ManageError::NotFound { what }.into())
    }

    /// The revision that the subscription has to have, where the request says so.
    async fn seen(&self, id: SubscriptionId) -> Result<Option<Revision>, Problem> {
        let Some(named) = revisions(self.headers)? else { return Ok(None) };
        let found = self.service.get(self.organization, id).await?.revision;
        match named.contains(&found) {
            true => Ok(Some(found)),
            false => Err(told(ManageError::Changed, Some(found))),
        }
    }
}

fn told(error: ManageError, seen: Option<Revision>) -> Problem {
    let is_changed = matches!(error, ManageError::Changed);
    let problem = Problem::from(error);
    if is_changed && seen.is_some() { problem.of_precondition() } else { problem }
}

fn subscription(view: &SubscriptionView) -> Response {
    let mut response = ok(&One { data: view });
    response.headers_mut().insert(ETAG, tag(view));
    response
}

fn with_secret(status: StatusCode, shown: &Shown) -> Response {
    let data = &shown.subscription;
    let warning = match (&shown.secret, shown.is_repeat) {
        (Some(_), _) => Some(Shown::WARNING),
        (None, true) => {
            Some("The secret was shown when this subscription was made. Rotate it if you do not have it.")
        }
        (None, false) => None,
    };
    let secret = shown.secret.as_ref().map(Secret::expose);
    let mut response = json(status, &WithSecret { data, secret, warning });
    response.headers_mut().insert(ETAG, tag(data));
    response
}

fn tag(view: &SubscriptionView) -> HeaderValue {
    HeaderValue::try_from(format!("\"{}\"", view.revision)).expect("invariant: a revision is hex digits")
}

fn ok(value: &impl Serialize) -> Response {
    json(StatusCode::OK, value)
}

fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let body = serde_json::to_vec(value).expect("invariant: what is shown can be written as JSON");
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

fn done() -> Response {
    StatusCode::NO_CONTENT.into_response()
}
