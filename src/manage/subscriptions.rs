//! Making, reading, changing and deleting subscriptions.

use super::{
    IdempotencyKey, ManageError, Revision, Service, Shown, SubscriptionDraft, SubscriptionPatch,
    SubscriptionView, build, page_size,
};
use crate::error::{Error, ErrorKind};
use crate::id::SubscriptionId;
use crate::store::{Added, Cursor, Page, Records, SecretDigest};
use crate::subscription::{EventFilter, Health, Options, Subscription, SubscriptionStatus};

impl<S: Records> Service<S> {
    /// Makes a subscription, and shows its secret: the only time.
    ///
    /// # Errors
    ///
    /// [`ManageError::Refused`] names the field that cannot be used, [`ManageError::LimitReached`] an organization that has as many
    /// as it may have, [`ManageError::Store`] the store's.
    pub async fn create(&self, organization: &str, draft: SubscriptionDraft) -> Result<Shown, ManageError> {
        self.make(organization, draft, None).await
    }

    /// [`create`](Self::create) once, however often it is called with this key: afterwards the subscription is told as it is by then,
    /// without its secret ([`Shown::is_repeat`]).
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create), and [`ManageError::KeyReused`] for a key that another request was made with.
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
        let now = self.now();
        let secret = self.first_secret(draft.secret.take())?;
        let url = build::url(&draft.url, &self.addresses)?;
        let id = key.map_or_else(|| SubscriptionId::generate_at(now), |key| key.subscription(organization));
        let mut subscription = Subscription::from_parts(id, now, organization, url, EventFilter::all());
        build::apply(draft.into_patch(), &mut subscription, &self.contract, &self.addresses, now)?;
        if let Some(secret) = &secret {
            self.put_secret(&mut subscription, secret.clone(), None)?;
        }
        let request = key.map(IdempotencyKey::fingerprint);
        subscription.options = subscription.options.with_request(request);
        let subscription = self.sealed(subscription)?;
        let digest = secret.as_ref().map(SecretDigest::of);
        match self.store.add_subscription(&subscription, digest.as_ref(), self.limit).await? {
            Added::Done => {
                Ok(Shown { subscription: SubscriptionView::of(&subscription, now), secret, is_repeat: false })
            }
            Added::Full => Err(ManageError::LimitReached { limit: self.limit }),
            Added::SecretInUse => Err(secret_in_use()),
            Added::Exists => {
                let made = self.find(organization, id).await?;
                if made.options.request() != request {
                    return Err(ManageError::KeyReused);
                }
                let subscription = SubscriptionView::of(&made, now);
                Ok(Shown { subscription, secret: None, is_repeat: true })
            }
        }
    }

    /// The subscription of this id, without its secret.
    ///
    /// # Errors
    ///
    /// [`ManageError::NotFound`], and [`ManageError::Store`].
    pub async fn get(&self, organization: &str, id: SubscriptionId) -> Result<SubscriptionView, ManageError> {
        Ok(SubscriptionView::of(&self.find(organization, id).await?, self.now()))
    }

    /// An organization's subscriptions, oldest first, at most `limit` (1 to 200) in a page.
    ///
    /// # Errors
    ///
    /// [`ManageError::Refused`] for another limit, and [`ManageError::Store`].
    pub async fn list(
        &self,
        organization: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<SubscriptionView>, ManageError> {
        let page = self.store.list_subscriptions(organization, after, page_size(limit)?).await?;
        let now = self.now();
        Ok(page.map(|subscription| SubscriptionView::of(&subscription, now)))
    }

    /// Changes what `patch` names. With `seen` only where nobody else changed it since that revision; without, it is changed as it
    /// is by then.
    ///
    /// Disabling says [`Manual`](crate::DisabledReason::Manual) and when, unless it is disabled already. Enabling one that was
    /// disabled starts it healthy; what waited is sent.
    ///
    /// # Errors
    ///
    /// [`ManageError::Refused`] names the field that cannot be used; [`ManageError::NotFound`], [`ManageError::Changed`] and
    /// [`ManageError::Store`].
    pub async fn update(
        &self,
        organization: &str,
        id: SubscriptionId,
        patch: SubscriptionPatch,
        seen: Option<Revision>,
    ) -> Result<SubscriptionView, ManageError> {
        let now = self.now();
        let change = |subscription: &mut Subscription| {
            build::apply(patch.clone(), subscription, &self.contract, &self.addresses, now)
        };
        let changed = self.change(organization, id, seen, change).await?;
        if changed.status == SubscriptionStatus::Enabled {
            self.wake.wake_for([id].into_iter());
        }
        Ok(SubscriptionView::of(&changed, now))
    }

    /// Puts `draft` in a subscription's place: what it does not say is taken out, but the secrets stay. `seen` as in
    /// [`update`](Self::update).
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update); a secret in the draft is refused, since [`rotate`](Self::rotate) sets those.
    pub async fn replace(
        &self,
        organization: &str,
        id: SubscriptionId,
        draft: SubscriptionDraft,
        seen: Option<Revision>,
    ) -> Result<SubscriptionView, ManageError> {
        if draft.secret.is_some() {
            let expected = "none; a rotation sets another secret";
            return Err(ManageError::refused("secret", "an update holds a secret", expected));
        }
        let now = self.now();
        let patch = draft.into_patch();
        let change = |subscription: &mut Subscription| {
            subscription.filter = EventFilter::all();
            subscription.options = Options::new();
            build::apply(patch.clone(), subscription, &self.contract, &self.addresses, now)
        };
        let changed = self.change(organization, id, seen, change).await?;
        if changed.status == SubscriptionStatus::Enabled {
            self.wake.wake_for([id].into_iter());
        }
        Ok(SubscriptionView::of(&changed, now))
    }

    /// Deletes a subscription and cancels what is pending; what was delivered stays readable.
    ///
    /// # Errors
    ///
    /// [`ManageError::NotFound`], and [`ManageError::Store`].
    pub async fn delete(&self, organization: &str, id: SubscriptionId) -> Result<(), ManageError> {
        self.find(organization, id).await?;
        // An id never changes its organization.
        match self.store.delete_subscription(id, self.now()).await? {
            true => Ok(()),
            false => Err(ManageError::NotFound { what: "subscription" }),
        }
    }

    pub(super) async fn find(
        &self,
        organization: &str,
        id: SubscriptionId,
    ) -> Result<Subscription, ManageError> {
        let found = self.store.subscription(id).await?;
        let own = found.filter(|subscription| subscription.organization == organization);
        own.ok_or(ManageError::NotFound { what: "subscription" })
    }

    /// Writes what `change` makes of a subscription, as one change: where somebody else wrote it in between, again of what they wrote.
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
            if self.store.replace_subscription(&found, &changed).await? {
                return Ok(healthy_if_enabled(changed, &found));
            }
        }
        Err(ManageError::Changed)
    }

    /// As it is to be written: as another edition, and with no secret in the clear where there is a key ring.
    fn sealed(&self, mut subscription: Subscription) -> Result<Subscription, ManageError> {
        let mut edition = [0; 8];
        getrandom::fill(&mut edition).map_err(|error| {
            let message = "the operating system gave no random bytes for an edition";
            ManageError::Sealing(Error::new(ErrorKind::Randomness, message).with_source(error))
        })?;
        subscription.options = subscription.options.with_edition(u64::from_be_bytes(edition));
        self.probe.keys().seal(subscription).map_err(ManageError::Sealing)
    }
}

/// As the store has it: one that was disabled and is enabled starts healthy.
fn healthy_if_enabled(mut changed: Subscription, found: &Subscription) -> Subscription {
    if changed.status == SubscriptionStatus::Enabled && found.status != SubscriptionStatus::Enabled {
        changed.health = Health::default();
    }
    changed
}

pub(super) fn secret_in_use() -> ManageError {
    ManageError::refused("secret", "secret is another subscription's", "one of its own")
}

/// Each that fails means that another one succeeded.
const MOST_TRIES: usize = 100;
