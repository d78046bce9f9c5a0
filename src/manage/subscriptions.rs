//! The calls that make, read, change and delete subscriptions.

use time::OffsetDateTime;

use super::build;
use super::draft::SubscriptionDraft;
use super::error::ManageError;
use super::idempotency::IdempotencyKey;
use super::patch::SubscriptionPatch;
use super::revision::Revision;
use super::secrets::first_secret;
use super::service::{Service, page_size};
use super::view::{Listed, Shown, SubscriptionView};
use crate::contract::Contract;
use crate::error::{Error, ErrorKind};
use crate::event::{EventPattern, EventType};
use crate::id::SubscriptionId;
use crate::store::{Added, Cursor, Records, Scanned, SecretDigest, Store, Subscriptions};
use crate::subscription::{EventFilter, Health, Subscription, SubscriptionStatus};

impl<S: Store + Subscriptions + Records> Service<S> {
    /// Makes a subscription, and shows its secret this once.
    ///
    /// # Errors
    ///
    /// [`ManageError::Refused`] with the field that cannot be used, [`ManageError::LimitReached`] if the
    /// organization has as many subscriptions as it may have, and [`ManageError::Store`].
    pub async fn create(&self, organization: &str, draft: SubscriptionDraft) -> Result<Shown, ManageError> {
        self.make(organization, draft, None).await
    }

    /// Makes one subscription, however often it is called with this key. Every later call shows the
    /// subscription as it is by then, without its secret ([`Shown::is_repeat`]).
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create), and [`ManageError::KeyReused`] if another request was made with the key.
    pub async fn create_once(
        &self,
        organization: &str,
        draft: SubscriptionDraft,
        key: &IdempotencyKey,
    ) -> Result<Shown, ManageError> {
        self.make(organization, draft, Some(key)).await
    }

    async fn make(
        &self,
        organization: &str,
        mut draft: SubscriptionDraft,
        key: Option<&IdempotencyKey>,
    ) -> Result<Shown, ManageError> {
        draft.check_new()?;
        let now = self.now();
        let contract = self.chosen(draft.contract.as_deref(), draft.version.as_deref())?;
        let secret = first_secret(contract, draft.secret.take())?;
        let url = build::url(&draft.url, &self.addresses)?;
        let id = key.map_or_else(|| SubscriptionId::generate_at(now), |key| key.subscription(organization));
        let mut subscription =
            Subscription::from_parts(id, now, organization, contract, url, EventFilter::all());
        build::apply(draft.into_patch(), &mut subscription, contract, &self.addresses, now)?;
        if let Some(secret) = &secret {
            self.put_secret(&mut subscription, secret.clone(), None)?;
        }
        let request = key.map(IdempotencyKey::fingerprint);
        subscription.options = subscription.options.with_request(request);
        let subscription = self.sealed(subscription)?;
        let digest = secret.as_ref().map(SecretDigest::of);
        match self.store.add(&subscription, digest.as_ref(), self.limit).await? {
            Added::Done => {
                Ok(Shown { subscription: self.view(&subscription, now), secret, is_repeat: false })
            }
            Added::Full => Err(ManageError::LimitReached { limit: self.limit }),
            Added::SecretInUse => Err(ManageError::secret_in_use()),
            Added::Exists => {
                let made = self.find(organization, id).await?;
                if made.options.request() != request {
                    return Err(ManageError::KeyReused);
                }
                let subscription = self.view(&made, now);
                Ok(Shown { subscription, secret: None, is_repeat: true })
            }
        }
    }

    /// Reads a subscription, without its secret.
    ///
    /// # Errors
    ///
    /// [`ManageError::NotFound`], and [`ManageError::Store`].
    pub async fn get(&self, organization: &str, id: SubscriptionId) -> Result<SubscriptionView, ManageError> {
        Ok(self.view(&self.find(organization, id).await?, self.now()))
    }

    /// Finds the contract that a subscription speaks, among those of this service.
    ///
    /// # Errors
    ///
    /// [`ManageError::Conflict`] for a contract that this service does not have; [`ManageError::NotFound`],
    /// and [`ManageError::Store`].
    pub async fn contract_of(
        &self,
        organization: &str,
        id: SubscriptionId,
    ) -> Result<&Contract, ManageError> {
        self.terms_of(&self.find(organization, id).await?)
    }

    /// Lists the subscriptions of an organization, oldest first, with at most `limit` (1 to 200) in a page. A
    /// row that cannot be read stops no others: the page names its id.
    ///
    /// # Errors
    ///
    /// [`ManageError::Refused`] for another limit, and [`ManageError::Store`].
    pub async fn list(
        &self,
        organization: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Listed, ManageError> {
        let page = self.store.list(organization, after, page_size(limit)?).await?;
        let (mut listed, now) = (Listed { next: page.next, ..Listed::default() }, self.now());
        for Scanned { id, subscription, .. } in page.items {
            match subscription {
                Ok(found) => listed.items.push(self.view(&found, now)),
                Err(_) => listed.unreadable.push(id),
            }
        }
        Ok(listed)
    }

    /// Does [`list`](Self::list) with the subscriptions alone that `query` selects. A page looks through
    /// about a thousand subscriptions at most: it may have fewer items than `limit`, even none, and say where
    /// the next one begins.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub async fn list_that(
        &self,
        organization: &str,
        query: &SubscriptionQuery,
        mut after: Option<Cursor>,
        limit: u32,
    ) -> Result<Listed, ManageError> {
        let (mut listed, mut looked_at) = (Listed::default(), 0);
        let limit = page_size(limit)? as usize;
        loop {
            let left = u32::try_from(limit - listed.items.len()).unwrap_or(u32::MAX);
            let page = self.list(organization, after, left).await?;
            looked_at += page.items.len() + page.unreadable.len();
            listed.items.extend(page.items.into_iter().filter(|view| query.selects(view)));
            listed.unreadable.extend(page.unreadable);
            (listed.next, after) = (page.next, page.next);
            if after.is_none() || listed.items.len() >= limit || looked_at >= LOOKED_THROUGH {
                return Ok(listed);
            }
        }
    }

    /// Changes the fields that `patch` names. With `seen`, the call fails if somebody else changed the
    /// subscription since that revision.
    ///
    /// A subscription that is disabled here gets the reason [`Manual`](crate::DisabledReason::Manual), unless
    /// it was disabled already. A disabled subscription that is enabled starts healthy, and the deliveries
    /// that waited are sent.
    ///
    /// # Errors
    ///
    /// [`ManageError::Refused`] with the field that cannot be used; [`ManageError::NotFound`],
    /// [`ManageError::Changed`] and [`ManageError::Store`].
    pub async fn update(
        &self,
        organization: &str,
        id: SubscriptionId,
        patch: SubscriptionPatch,
        seen: Option<Revision>,
    ) -> Result<SubscriptionView, ManageError> {
        let now = self.now();
        let change = |subscription: &mut Subscription| self.apply(&patch, subscription, now);
        let changed = self.change(organization, id, seen, change).await?;
        if changed.status == SubscriptionStatus::Enabled {
            self.wake.wake_for(id);
        }
        Ok(self.view(&changed, now))
    }

    /// Replaces a subscription by `draft`. Fields that the draft does not name are reset, but these stay: the
    /// secrets, the contract and its version, and what no read shows (headers, authentication, client
    /// certificate). So what a read shows can be written back. `seen` is as in [`update`](Self::update).
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update). A secret in the draft is refused, because [`rotate`](Self::rotate) sets
    /// secrets.
    pub async fn replace(
        &self,
        organization: &str,
        id: SubscriptionId,
        mut draft: SubscriptionDraft,
        seen: Option<Revision>,
    ) -> Result<SubscriptionView, ManageError> {
        if draft.secret.is_some() {
            let expected = "none; a rotation sets another secret";
            return Err(ManageError::refused("secret", "an update holds a secret", expected));
        }
        let now = self.now();
        draft.drop_read_only();
        let patch = draft.into_patch();
        let change = |subscription: &mut Subscription| {
            subscription.filter = EventFilter::all();
            self.apply(&patch, subscription, now)
        };
        let changed = self.change(organization, id, seen, change).await?;
        if changed.status == SubscriptionStatus::Enabled {
            self.wake.wake_for(id);
        }
        Ok(self.view(&changed, now))
    }

    /// Deletes a subscription and cancels its pending deliveries. Its other deliveries stay readable.
    ///
    /// # Errors
    ///
    /// [`ManageError::NotFound`], and [`ManageError::Store`].
    pub async fn delete(&self, organization: &str, id: SubscriptionId) -> Result<(), ManageError> {
        self.find(organization, id).await?;
        // An id never changes its organization.
        match self.store.delete(id, self.now()).await? {
            true => Ok(()),
            false => Err(ManageError::not_found("subscription")),
        }
    }

    /// Does [`delete`](Self::delete) if nobody changed the subscription since the revision `seen`.
    ///
    /// # Errors
    ///
    /// As [`delete`](Self::delete), and [`ManageError::Changed`].
    pub async fn delete_seen(
        &self,
        organization: &str,
        id: SubscriptionId,
        seen: Revision,
    ) -> Result<(), ManageError> {
        // The write is refused if there is another revision by then, and ends the one that others have seen.
        self.change(organization, id, Some(seen), |_| Ok(())).await?;
        self.delete(organization, id).await
    }

    /// Applies a patch under the contract that the subscription speaks afterwards.
    fn apply(
        &self,
        patch: &SubscriptionPatch,
        subscription: &mut Subscription,
        now: OffsetDateTime,
    ) -> Result<(), ManageError> {
        let contract = self.changed(subscription, patch.contract.as_deref(), patch.version.as_deref())?;
        build::apply(patch.clone(), subscription, contract, &self.addresses, now)?;
        self.set_version(subscription, contract)
    }

    pub(super) fn view(&self, subscription: &Subscription, now: OffsetDateTime) -> SubscriptionView {
        SubscriptionView::of(subscription, self.terms(&subscription.contract), now)
    }

    pub(super) async fn find(
        &self,
        organization: &str,
        id: SubscriptionId,
    ) -> Result<Subscription, ManageError> {
        let found = self.store.subscription(id).await?;
        let own = found.filter(|subscription| subscription.organization == organization);
        own.ok_or(ManageError::not_found("subscription"))
    }

    /// Reads a subscription, applies `change`, and writes it back. If somebody else wrote it in between, the
    /// change is applied again to what they wrote.
    pub(super) async fn change(
        &self,
        organization: &str,
        id: SubscriptionId,
        seen: Option<Revision>,
        change: impl Fn(&mut Subscription) -> Result<(), ManageError> + Send,
    ) -> Result<Subscription, ManageError> {
        for _ in 0..MOST_TRIES {
            let found = self.find(organization, id).await?;
            if seen.is_some_and(|seen| seen != Revision::of(&found)) {
                return Err(ManageError::Changed);
            }
            let mut changed = found.clone();
            change(&mut changed)?;
            changed.options = changed.options.with_request(found.options.request());
            let changed = self.sealed(changed)?;
            if self.store.replace(&found, &changed).await? {
                return Ok(healthy_if_enabled(changed, &found));
            }
        }
        Err(ManageError::Changed)
    }

    /// Prepares a subscription for the store: gives it a new edition, and seals its secrets if there is a key
    /// ring.
    fn sealed(&self, mut subscription: Subscription) -> Result<Subscription, ManageError> {
        let mut edition = [0; 8];
        getrandom::fill(&mut edition).map_err(|error| {
            let message = "the operating system gave no random bytes for an edition";
            ManageError::Sealing(Error::new(ErrorKind::Randomness, message).with_source(error))
        })?;
        subscription.options = subscription.options.with_edition(u64::from_be_bytes(edition));
        match &self.sealing {
            Some(sealing) => sealing.seal_plain(subscription).map_err(ManageError::Sealing),
            None => Ok(subscription),
        }
    }
}

/// Which subscriptions are listed.
///
/// ```
/// use hookwire::manage::SubscriptionQuery;
///
/// let query = SubscriptionQuery::new().with_enabled(false).with_uid("crm-7");
/// # let _ = query;
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct SubscriptionQuery {
    /// Only those that are enabled, or that are not.
    pub enabled: Option<bool>,
    /// Only those whose endpoint only fails, or does not.
    pub failing: Option<bool>,
    /// Only those that ask for events of this type.
    pub event_type: Option<EventType>,
    /// Only those with this name of the application's own.
    pub uid: Option<String>,
}

impl SubscriptionQuery {
    /// All subscriptions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only those that are enabled, or that are not.
    pub const fn with_enabled(mut self, enabled: bool) -> Self {
        self.enabled = Some(enabled);
        self
    }

    /// Only those that ask for events of this type.
    pub fn with_event_type(mut self, event_type: EventType) -> Self {
        self.event_type = Some(event_type);
        self
    }

    /// Only those with this name of the application's own.
    pub fn with_uid(mut self, uid: impl Into<String>) -> Self {
        self.uid = Some(uid.into());
        self
    }

    fn selects(&self, view: &SubscriptionView) -> bool {
        let asks_for = |name: &EventType| {
            let mut patterns = view.events.iter().filter_map(|text| text.parse::<EventPattern>().ok());
            patterns.any(|pattern| pattern.matches(name.as_str()))
        };
        self.enabled.is_none_or(|enabled| view.enabled == enabled)
            && self.failing.is_none_or(|failing| view.failing_since.is_some() == failing)
            && self.uid.as_ref().is_none_or(|uid| view.uid.as_ref() == Some(uid))
            && self.event_type.as_ref().is_none_or(asks_for)
    }
}

/// Repeats what the store does: a disabled subscription that is enabled starts healthy.
fn healthy_if_enabled(mut changed: Subscription, found: &Subscription) -> Subscription {
    if changed.status == SubscriptionStatus::Enabled && found.status != SubscriptionStatus::Enabled {
        changed.health = Health::default();
    }
    changed
}

/// The number of subscriptions that a page of a narrowed list reads.
const LOOKED_THROUGH: usize = 1_000;
/// The most times that a change is tried; each failure means that another change succeeded.
const MOST_TRIES: usize = 100;
