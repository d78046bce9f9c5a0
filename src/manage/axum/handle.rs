//! [`Call`]: carries out each [`Operation`] with the service.

use std::collections::{BTreeMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ::axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, HeaderMap, LOCATION};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use super::access::{Access, Scope};
use super::operation::Operation;
use super::problem::Problem;
use super::query::Query;
use super::read::{
    self, DiscardBody, RecoverBody, RotateBody, TestBody, header, json_body, optional_body, revisions,
};
use super::shown::{
    AttemptShown, ContractShown, DeliveryShown, DeliveryWithAttempts, EmittedShown, EventShown,
    EventTypeShown, Many, One, Replayed, Retried, SessionShown, StatisticsShown, SubscriptionsShown,
    TestShown, WithSecret,
};
use crate::delivery::DeliveryState;
use crate::dispatch::Emitted;
use crate::event::EventId;
use crate::id::{DeliveryId, SubscriptionId};
use crate::manage::{
    DeliveryDetail, Emitter, EventDraft, IdempotencyKey, ManageError, Recovery, Revision, Rotate, Service,
    Shown, SubscriptionQuery, SubscriptionView,
};
use crate::signature::Secret;
use crate::store::{DeliveryQuery, Period, Records, Store, Subscriptions};

/// Emits events, whatever the type of the store. Only a store that can be cloned has an [`Emitter`].
pub(super) trait Emit: Send + Sync {
    fn emit<'a>(
        &'a self,
        organization: &'a str,
        events: Vec<EventDraft>,
        key: Option<IdempotencyKey>,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<Emitted>, ManageError>> + Send + 'a>>;
}

impl<S: Store + Subscriptions + Records + Clone> Emit for Emitter<S> {
    fn emit<'a>(
        &'a self,
        organization: &'a str,
        events: Vec<EventDraft>,
        key: Option<IdempotencyKey>,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<Emitted>, ManageError>> + Send + 'a>> {
        Box::pin(async move { Self::emit(self, organization, events, key.as_ref()).await })
    }
}

/// An authorized request.
pub(super) struct Call<'a, R> {
    pub(super) service: &'a Arc<Service<R>>,
    pub(super) emitter: Option<&'a dyn Emit>,
    /// The path at which clients see the router.
    pub(super) prefix: &'a str,
    pub(super) access: &'a Access,
    pub(super) organization: &'a str,
    /// The path of the operation.
    pub(super) list: &'static str,
    pub(super) path: BTreeMap<String, String>,
    pub(super) query: Query,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: Bytes,
}

impl<R: Store + Subscriptions + Records + 'static> Call<'_, R> {
    pub(super) async fn carry_out(&self, operation: Operation) -> Result<Response, Problem> {
        match operation {
            Operation::ListSubscriptions => self.subscriptions().await,
            Operation::CreateSubscription => self.create().await,
            Operation::ReadSubscription => self.read().await,
            Operation::ReplaceSubscription => self.replace().await,
            Operation::UpdateSubscription => self.update().await,
            Operation::DeleteSubscription => self.delete().await,
            Operation::RotateSecret => self.rotate().await,
            Operation::SendTest => self.test().await,
            Operation::ReplayDeadLetters => self.replay().await,
            Operation::Recover => self.recover().await,
            Operation::ReadStatistics => self.statistics().await,
            Operation::ListDeliveries => self.deliveries().await,
            Operation::ReadDelivery => self.read_delivery().await,
            Operation::FindDelivery => self.find_delivery().await,
            Operation::ReadSession => Ok(self.session()),
            Operation::ReadContracts => Ok(self.contracts()),
            Operation::RetryDelivery => self.retry().await,
            Operation::CancelDelivery => self.cancel().await,
            Operation::DiscardDelivery => self.discard().await,
            Operation::ListDeadLetters => self.dead_letters().await,
            Operation::ListEventTypes => Ok(self.event_types()),
            Operation::ListEvents => self.events().await,
            Operation::EmitEvents => self.emit().await,
            Operation::ReadEvent => self.read_event().await,
            Operation::ListEventDeliveries => self.event_deliveries().await,
        }
    }

    async fn subscriptions(&self) -> Result<Response, Problem> {
        let mut wanted = SubscriptionQuery::new();
        match self.query.text("status") {
            None => {}
            Some("enabled") => wanted.enabled = Some(true),
            Some("disabled") => wanted.enabled = Some(false),
            Some("failing") => (wanted.enabled, wanted.failing) = (Some(true), Some(true)),
            Some(_) => {
                let expected = "of these: enabled, disabled, failing";
                return Err(Problem::field("status", "there is no such status", expected));
            }
        }
        wanted.event_type = self.query.read("event_type", "the name of a type of events")?;
        wanted.uid = self.query.text("uid").map(str::to_owned);
        let tag = self.tag();
        let (after, limit) = (self.query.after(&tag)?, self.query.limit()?);
        let listed = match wanted == SubscriptionQuery::new() {
            true => self.service.list(self.organization, after, limit).await?,
            false => self.service.list_that(self.organization, &wanted, after, limit).await?,
        };
        Ok(ok(&SubscriptionsShown::of(listed, &tag)))
    }

    async fn create(&self) -> Result<Response, Problem> {
        let draft = json_body(self.headers, &self.body)?;
        let made = match self.idempotency_key()? {
            Some(key) => self.service.create_once(self.organization, draft, &key).await?,
            None => self.service.create(self.organization, draft).await?,
        };
        let mut response = with_secret(StatusCode::CREATED, &made);
        let list = Operation::CreateSubscription.path();
        let path = format!("{}{list}/{}", self.prefix, made.subscription.id);
        let headers = response.headers_mut();
        headers
            .insert(LOCATION, HeaderValue::try_from(path).expect("invariant: a prefix and an id are ASCII"));
        if made.is_repeat {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        Ok(response)
    }

    async fn read(&self) -> Result<Response, Problem> {
        Ok(subscription(&self.service.get(self.organization, self.id()?).await?))
    }

    async fn replace(&self) -> Result<Response, Problem> {
        let id = self.id()?;
        let draft = json_body(self.headers, &self.body).map_err(Problem::of_replacement)?;
        let seen = self.seen(id).await?;
        let replaced = self.service.replace(self.organization, id, draft, seen).await;
        Ok(subscription(&replaced.map_err(|error| problem(error, seen))?))
    }

    async fn update(&self) -> Result<Response, Problem> {
        let id = self.id()?;
        let patch = json_body(self.headers, &self.body)?;
        let seen = self.seen(id).await?;
        let updated = self.service.update(self.organization, id, patch, seen).await;
        Ok(subscription(&updated.map_err(|error| problem(error, seen))?))
    }

    async fn delete(&self) -> Result<Response, Problem> {
        let id = self.id()?;
        match self.seen(id).await? {
            Some(seen) => {
                let deleted = self.service.delete_seen(self.organization, id, seen).await;
                deleted.map_err(|error| problem(error, Some(seen)))?;
            }
            None => self.service.delete(self.organization, id).await?,
        }
        Ok(done())
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
            // The client calls it by another name.
            ManageError::Refused(mut refusal) if refusal.field == "overlap" => {
                refusal.field = "overlap_seconds".into();
                ManageError::Refused(refusal).into()
            }
            error => problem(error, seen),
        })?;
        Ok(with_secret(StatusCode::OK, &rotated))
    }

    async fn test(&self) -> Result<Response, Problem> {
        let id = self.id()?;
        let TestBody { event_type, wait } = optional_body(self.headers, &self.body)?;
        if !wait {
            // Refuse what can be refused now, because nobody waits for the outcome later.
            let admitted = self.service.admit_test(self.organization, id, event_type.as_deref()).await?;
            let service = Arc::clone(self.service);
            tokio::spawn(async move { service.send_admitted(admitted).await });
            return Ok(StatusCode::ACCEPTED.into_response());
        }
        let contract = self.service.contract_of(self.organization, id).await?;
        let tested = self.service.send_test(self.organization, id, event_type.as_deref()).await?;
        Ok(ok(&One {
            data: TestShown {
                event_id: tested.event,
                event_type: tested.event_type.to_string(),
                delivery_id: tested.delivery,
                delivered: tested.is_delivered,
                attempt: AttemptShown::of(tested.attempt, contract),
            },
        }))
    }

    async fn replay(&self) -> Result<Response, Problem> {
        let replayed = self.service.replay_dead_letters(self.organization, self.id()?).await?;
        Ok(ok(&One { data: Replayed { replayed } }))
    }

    async fn recover(&self) -> Result<Response, Problem> {
        let id = self.id()?;
        let RecoverBody { since, until, event_types, preview } = json_body(self.headers, &self.body)?;
        let replayed = if until.is_none() && event_types.is_empty() && !preview {
            self.service.recover(self.organization, id, since).await?
        } else {
            let mut recovery = Recovery::since(since);
            recovery.until = until;
            for (at, name) in event_types.iter().enumerate() {
                let name = name.parse().map_err(|error| {
                    Problem::from(ManageError::unusable(format!("event_types[{at}]"), &error))
                })?;
                recovery = recovery.with_event_type(name);
            }
            self.service.recover_that(self.organization, id, &recovery, preview).await?
        };
        Ok(ok(&One { data: Replayed { replayed } }))
    }

    async fn statistics(&self) -> Result<Response, Problem> {
        let id = self.id()?;
        let until = self.query.time("until")?.unwrap_or_else(|| self.service.now());
        let since =
            match self.query.time("since")? {
                Some(since) => since,
                // RFC 3339 cannot write years before 0.
                None => until.checked_sub(time::Duration::DAY).filter(|since| since.year() >= 0).ok_or_else(
                    || Problem::field("until", "no day is before it", "a later time, or `since` beside it"),
                )?,
            };
        let slot = self.query.read("slot_seconds", "a number of seconds from 1 on")?.unwrap_or(3_600);
        let period = Period::new(since, until, Duration::from_secs(slot));
        let counted = self.service.statistics(self.organization, id, &period).await;
        let counted = counted.map_err(|error| match error {
            ManageError::Refused(mut refusal) if refusal.field == "slot" => {
                refusal.field = "slot_seconds".into();
                ManageError::Refused(refusal)
            }
            error => error,
        })?;
        let contract = self.service.contract_of(self.organization, id).await?;
        Ok(ok(&One { data: StatisticsShown::of(counted, &period, contract) }))
    }

    async fn deliveries(&self) -> Result<Response, Problem> {
        let mut wanted = DeliveryQuery::new(self.id()?);
        if let Some(text) = self.query.text("state") {
            let states = || DeliveryState::ALL.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let state: DeliveryState = text.parse().map_err(|_| {
                Problem::field("state", "there is no such state", format!("of these: {}", states()))
            })?;
            wanted = wanted.with_state(state);
        }
        if let Some(event_type) = self.query.read("event_type", "the name of a type of events")? {
            wanted = wanted.with_event_type(event_type);
        }
        (wanted.since, wanted.until) = (self.query.time("since")?, self.query.time("until")?);
        let tag = self.tag();
        let (after, limit) = (self.query.after(&tag)?, self.query.limit()?);
        let page = self.service.deliveries(self.organization, &wanted, after, limit).await?;
        Ok(ok(&Many::of(page.map(DeliveryShown::from), &tag)))
    }

    async fn read_delivery(&self) -> Result<Response, Problem> {
        self.detail(self.delivery().await?)
    }

    async fn find_delivery(&self) -> Result<Response, Problem> {
        let id = self.named("delivery", "delivery")?;
        self.detail(self.service.delivery(self.organization, id).await?)
    }

    fn session(&self) -> Response {
        let access = self.access;
        ok(&One {
            data: SessionShown {
                organization: &access.organization,
                label: access.label.as_deref(),
                scope: match access.scope {
                    Scope::Read => "read",
                    Scope::ReadWrite => "write",
                },
                expires_at: access.expires_at,
                now: self.service.now(),
            },
        })
    }

    fn contracts(&self) -> Response {
        ok(&Many::all(self.service.chains().map(ContractShown::of).collect()))
    }

    fn detail(&self, found: DeliveryDetail) -> Result<Response, Problem> {
        let contract =
            self.service.terms(&found.delivery.contract).unwrap_or_else(|| self.service.contract());
        let attempts = found.attempts.into_iter();
        Ok(ok(&One {
            data: DeliveryWithAttempts {
                delivery: found.delivery.into(),
                attempt_log: attempts.map(|attempt| AttemptShown::of(attempt, contract)).collect(),
            },
        }))
    }

    async fn retry(&self) -> Result<Response, Problem> {
        let delivery_id = self.service.retry(self.organization, self.delivery().await?.delivery.id).await?;
        Ok(ok(&One { data: Retried { delivery_id } }))
    }

    async fn cancel(&self) -> Result<Response, Problem> {
        self.service.cancel(self.organization, self.delivery().await?.delivery.id).await?;
        Ok(done())
    }

    async fn discard(&self) -> Result<Response, Problem> {
        let id = self.delivery().await?.delivery.id;
        let DiscardBody { note } = optional_body(self.headers, &self.body)?;
        self.service.discard(self.organization, id, &note).await?;
        Ok(done())
    }

    async fn dead_letters(&self) -> Result<Response, Problem> {
        let tag = self.tag();
        let (after, limit) = (self.query.after(&tag)?, self.query.limit()?);
        let page = self.service.dead_letters(self.organization, after, limit).await?;
        Ok(ok(&Many::of(page.map(DeliveryShown::from), &tag)))
    }

    fn event_types(&self) -> Response {
        let mut names = HashSet::new();
        let kinds = self.service.contracts().flat_map(|contract| contract.catalogue().iter());
        let kinds = kinds.filter(|kind| names.insert(kind.name()));
        ok(&Many::all(kinds.map(EventTypeShown::of).collect()))
    }

    async fn events(&self) -> Result<Response, Problem> {
        let tag = self.tag();
        let (after, limit) = (self.query.after(&tag)?, self.query.limit()?);
        let page = self.service.events(self.organization, after, limit).await?;
        Ok(ok(&Many::of(page.map(EventShown::from), &tag)))
    }

    async fn emit(&self) -> Result<Response, Problem> {
        let Some(emitter) = self.emitter else {
            return Err(Problem::new(StatusCode::NOT_FOUND, "events cannot be emitted here"));
        };
        let key = self.idempotency_key()?;
        let (events, is_list) = read::events(self.headers, &self.body)?;
        let emitted = emitter.emit(self.organization, events, key).await?;
        let is_repeat = emitted.iter().all(|event| event.duplicate);
        let status = if is_repeat { StatusCode::OK } else { StatusCode::ACCEPTED };
        let mut emitted: Vec<_> = emitted.iter().map(EmittedShown::from).collect();
        let mut response = match emitted.pop() {
            Some(only) if !is_list => json(status, &only),
            last => {
                emitted.extend(last);
                json(status, &One { data: emitted })
            }
        };
        if is_repeat && self.headers.contains_key(IDEMPOTENCY_KEY) {
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        }
        Ok(response)
    }

    fn idempotency_key(&self) -> Result<Option<IdempotencyKey>, Problem> {
        let key = header(self.headers, &HeaderName::from_static(IDEMPOTENCY_KEY))?;
        Ok(key.map(|key| IdempotencyKey::new(key, &self.body)).transpose()?)
    }

    async fn read_event(&self) -> Result<Response, Problem> {
        let event = self.service.event(self.organization, &self.event()?).await?;
        Ok(ok(&One { data: EventShown::from(event) }))
    }

    async fn event_deliveries(&self) -> Result<Response, Problem> {
        let event = self.event()?;
        let tag = self.tag();
        let (after, limit) = (self.query.after(&tag)?, self.query.limit()?);
        let page = self.service.event_deliveries(self.organization, &event, after, limit).await?;
        Ok(ok(&Many::of(page.map(DeliveryShown::from), &tag)))
    }

    /// The delivery that the path names, if it belongs to the path's subscription.
    async fn delivery(&self) -> Result<DeliveryDetail, Problem> {
        let id: DeliveryId = self.named("delivery", "delivery")?;
        let found = self.service.delivery(self.organization, id).await?;
        if found.delivery.subscription != self.id()? {
            return Err(ManageError::not_found("delivery").into());
        }
        Ok(found)
    }

    /// Tells this list from others.
    fn tag(&self) -> String {
        let path = self.path.values().map(String::as_str);
        self.query.tag([self.list, self.organization].into_iter().chain(path))
    }

    fn id(&self) -> Result<SubscriptionId, Problem> {
        self.named("id", "subscription")
    }

    fn event(&self) -> Result<EventId, Problem> {
        self.named("event", "event")
    }

    /// The id that the path names. A text that is no id is answered like an id that is not found.
    fn named<T: std::str::FromStr>(&self, name: &str, what: &'static str) -> Result<T, Problem> {
        let id = self.path.get(name).and_then(|id| id.parse().ok());
        id.ok_or_else(|| ManageError::not_found(what).into())
    }

    /// The revision that the subscription must have, if the request has `If-Match`.
    async fn seen(&self, id: SubscriptionId) -> Result<Option<Revision>, Problem> {
        let Some(named) = revisions(self.headers)? else { return Ok(None) };
        let found = self.service.get(self.organization, id).await?.revision;
        match named.contains(&found) {
            true => Ok(Some(found)),
            false => Err(problem(ManageError::Changed, Some(found))),
        }
    }
}

fn problem(error: ManageError, seen: Option<Revision>) -> Problem {
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

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const REPLAYED: &str = "idempotency-replayed";
