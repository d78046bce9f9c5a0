//! Writing and reading subscriptions, the same in every database.

use zeroize::Zeroizing;

use super::columns::{self, Columns, corrupt};
use super::database::Database;
use super::dialect::Dialect;
use super::value::Value;
use crate::id::SubscriptionId;
use crate::store::built_in::{MOST_HELD, check_subscription, same_owner};
use crate::store::{Cursor, Edition, Page, Scanned, SecretDigest, StoreError, StoreErrorKind, Subscribed};
use crate::subscription::{Subscription, SubscriptionStatus};

/// A subscription as its row holds it.
pub(in crate::store) struct SubscriptionRow<'a> {
    subscription: &'a Subscription,
    organization: &'a str,
    filter: String,
    secrets: Zeroizing<String>,
    options: Zeroizing<String>,
    health: String,
}

impl<'a> SubscriptionRow<'a> {
    pub(in crate::store) fn new(
        dialect: &Dialect,
        subscription: &'a Subscription,
    ) -> Result<Self, StoreError> {
        check_subscription(subscription)?;
        Ok(Self {
            subscription,
            organization: dialect.key("organization", &subscription.organization)?,
            filter: subscription.filter.to_storage(),
            secrets: columns::secrets_text(subscription),
            options: subscription.options.to_storage(),
            health: subscription.health.to_storage(),
        })
    }

    /// Returns every column, in the order in which they are inserted.
    pub(in crate::store) fn values(&self) -> Vec<Value<'_>> {
        let [organization, contract, version, url, filter, secrets, status, disabled_at, options, created_at] =
            self.written();
        let (id, health) = (self.subscription.id.into(), self.health.as_str().into());
        vec![
            id,
            organization,
            contract,
            version,
            url,
            filter,
            secrets,
            status,
            disabled_at,
            options,
            health,
            created_at,
        ]
    }

    /// Returns the columns that an application writes.
    fn written(&self) -> [Value<'_>; 10] {
        let (status, disabled_at) = columns::status_columns(&self.subscription.status);
        [
            self.organization.into(),
            self.subscription.contract.name().into(),
            self.subscription.contract.version().into(),
            self.subscription.url.as_str().into(),
            self.filter.as_str().into(),
            self.secrets.as_str().into(),
            status.into(),
            disabled_at.into(),
            self.options.as_str().into(),
            columns::micros(self.subscription.created_at).into(),
        ]
    }
}

pub(in crate::store) async fn put(db: &impl Database, subscription: &Subscription) -> Result<(), StoreError> {
    let row = SubscriptionRow::new(db.dialect(), subscription)?;
    if !db.change(&db.shared().put_subscription, &row.values()).await?.is_empty() {
        return release_secrets(db, subscription.id, subscription.secrets.len()).await;
    }
    // The one that is there speaks another contract, or is another organization's.
    match find(db, subscription.id).await? {
        Some(stored) => same_owner(&stored, subscription),
        None => {
            let error = "the subscription of this id was deleted at this moment";
            Err(StoreError::new(StoreErrorKind::Unavailable, error))
        }
    }
}

pub(in crate::store) async fn replace(
    db: &impl Database,
    seen: &Subscription,
    subscription: &Subscription,
) -> Result<bool, StoreError> {
    if seen.id != subscription.id {
        return Ok(false);
    }
    same_owner(seen, subscription)?;
    let row = SubscriptionRow::new(db.dialect(), subscription)?;
    // No row has an organization that the database cannot hold.
    let Ok(seen) = SubscriptionRow::new(db.dialect(), seen) else { return Ok(false) };
    let values: Vec<_> =
        [subscription.id.into()].into_iter().chain(row.written()).chain(seen.written()).collect();
    let is_replaced = !db.change(&db.shared().replace_subscription, &values).await?.is_empty();
    if is_replaced {
        release_secrets(db, subscription.id, subscription.secrets.len()).await?;
    }
    Ok(is_replaced)
}

/// Frees the secrets of a subscription but for the `keep` that it got last.
async fn release_secrets(db: &impl Database, id: SubscriptionId, keep: usize) -> Result<(), StoreError> {
    let keep = i64::try_from(keep).unwrap_or(i64::MAX);
    db.change(&db.shared().release_secrets, &[id.into(), keep.into()]).await.map(drop)
}

pub(in crate::store) async fn hold_secret(
    db: &impl Database,
    id: SubscriptionId,
    secret: &SecretDigest,
) -> Result<bool, StoreError> {
    let held = db.change(&db.shared().hold_secret, &[id.into(), secret.as_bytes()[..].into()]).await?;
    let holder = held.first().map(|row| row.uuid("subscription")).transpose().map_err(corrupt)?;
    let is_held = holder == Some(id.as_u128());
    if is_held {
        release_secrets(db, id, MOST_HELD).await?;
    }
    Ok(is_held)
}

pub(in crate::store) async fn set_status(
    db: &impl Database,
    id: SubscriptionId,
    status: &SubscriptionStatus,
) -> Result<bool, StoreError> {
    let (status, disabled_at) = columns::status_columns(status);
    let changed = db.change(&db.shared().set_status, &[id.into(), status.into(), disabled_at.into()]).await?;
    Ok(!changed.is_empty())
}

pub(in crate::store) async fn list(
    db: &impl Database,
    organization: &str,
    after: Option<Cursor>,
    limit: u32,
) -> Result<Page<Scanned>, StoreError> {
    let Ok(organization) = db.dialect().key("organization", organization) else {
        return Ok(Page::last(Vec::new()));
    };
    let (time, id) = after.map_or((i64::MIN, 0), |after| (columns::cursor_time(after), after.minor()));
    let values = [organization.into(), time.into(), Value::Id(id), (i64::from(limit) + 1).into()];
    let rows = db.read(&db.shared().list_subscriptions, &values).await?;
    // The number that the list is sorted by, which may be the part of a row that makes no sense.
    let read = |row| Ok((Columns::number(row, "created_at").map_err(corrupt)?, columns::scanned(row)?));
    let found = rows.iter().map(read).collect::<Result<_, StoreError>>()?;
    let place = |(made_at, last): &(i64, Scanned)| columns::cursor(*made_at, last.id.as_u128());
    Ok(Page::cut(found, limit, place).map(|(_, scanned)| scanned))
}

pub(in crate::store) async fn scan(
    db: &impl Database,
    after: Option<SubscriptionId>,
    limit: u32,
) -> Result<Vec<Scanned>, StoreError> {
    let Some(first) = columns::behind(after) else { return Ok(Vec::new()) };
    let rows = db.read(&db.shared().scan_subscriptions, &[Value::Id(first), limit.into()]).await?;
    rows.iter().map(columns::scanned).collect()
}

pub(in crate::store) async fn find(
    db: &impl Database,
    id: SubscriptionId,
) -> Result<Option<Subscription>, StoreError> {
    let found = db.read(&db.shared().subscription, &[id.into()]).await?;
    found.first().map(|row| columns::subscription(row, "id")).transpose().map_err(corrupt)
}

pub(in crate::store) async fn of_organization(
    db: &impl Database,
    organization: &str,
) -> Result<Subscribed, StoreError> {
    let Ok(organization) = db.dialect().key("organization", organization) else {
        return Ok(Subscribed::new(Vec::new()));
    };
    subscribed(&db.read(&db.shared().subscriptions, &[organization.into()]).await?)
}

/// Reads the rows of the statement `subscriptions`.
pub(in crate::store) fn subscribed(rows: &[impl Columns]) -> Result<Subscribed, StoreError> {
    let first = rows.first().ok_or_else(|| corrupt("the list of an organization has no edition"))?;
    let edition = first.number("edition").map_err(corrupt)?;
    // Every subscription has a time.
    let is_there = |row: &&_| !matches!(Columns::optional_number(*row, "created_at"), Ok(None));
    let found: Vec<Scanned> = rows.iter().filter(is_there).map(columns::scanned).collect::<Result<_, _>>()?;
    // Subscriptions have an edition, unless somebody deleted it.
    let is_known = edition != 0 || found.is_empty();
    let read = Subscribed::new(found);
    Ok(if is_known { read.with_edition(Edition::new(edition.cast_unsigned())) } else { read })
}
