-- Writing and reading subscriptions.

-- name: put_subscription
-- Health and pause of a subscription that exists stay as they are. Writes nothing, and returns no row, where
-- it speaks another contract or belongs to another organization: those never change.
INSERT INTO {p}subscriptions AS s
  (id, organization, contract, version, url, filter, secrets, status, disabled_at, options, health, created_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
ON CONFLICT (id) DO UPDATE SET version = excluded.version, url = excluded.url,
  filter = excluded.filter, secrets = excluded.secrets, status = excluded.status, disabled_at = excluded.disabled_at,
  options = excluded.options, created_at = excluded.created_at
WHERE s.contract = excluded.contract AND s.organization = excluded.organization
RETURNING id;

-- name: replace_subscription
-- Writes nothing unless the row is still as it was read: ?12 and the parameters after it. A disabled
-- subscription that is enabled starts healthy.
UPDATE {p}subscriptions AS s
SET organization = ?2, contract = ?3, version = ?4, url = ?5, filter = ?6, secrets = ?7, status = ?8, disabled_at = ?9,
  options = ?10, created_at = ?11,
  health = CASE WHEN ?8 = 'enabled' AND s.status <> 'enabled' THEN '' ELSE s.health END
WHERE id = ?1 AND organization = ?12 AND contract = ?13 AND version = ?14 AND url = ?15 AND filter = ?16 AND secrets = ?17
  AND status = ?18 AND disabled_at IS NOT DISTINCT FROM ?19 AND options = ?20 AND created_at = ?21
RETURNING id;

-- name: hold_secret
-- Returns the subscription that holds the secret of this digest afterwards: the first that asked for it.
INSERT INTO {p}secrets AS held (digest, subscription, place)
SELECT ?2, id, (SELECT coalesce(max(s.place), 0) + 1 FROM {p}secrets s WHERE s.subscription = ?1)
FROM {p}subscriptions WHERE id = ?1
ON CONFLICT (digest) DO UPDATE SET subscription = held.subscription,
  place = CASE WHEN held.subscription = excluded.subscription THEN excluded.place ELSE held.place END
RETURNING subscription;

-- name: release_secrets
-- Deletes the digests of a subscription's secrets but for the ?2 that it got last.
DELETE FROM {p}secrets WHERE subscription = ?1 AND place <= (
  SELECT s.place FROM {p}secrets s WHERE s.subscription = ?1 ORDER BY s.place DESC LIMIT 1 OFFSET ?2)
RETURNING subscription;

-- name: set_status
-- A disabled subscription that is enabled starts healthy.
UPDATE {p}subscriptions AS s
SET status = ?2, disabled_at = ?3,
  health = CASE WHEN ?2 = 'enabled' AND s.status <> 'enabled' THEN '' ELSE s.health END
WHERE id = ?1 RETURNING id;

-- name: list_subscriptions
SELECT * FROM {p}subscriptions WHERE organization = ?1 AND (created_at, id) > (?2, ?3)
ORDER BY created_at, id LIMIT ?4;

-- name: scan_subscriptions
SELECT * FROM {p}subscriptions WHERE id >= ?1 ORDER BY id LIMIT ?2;

-- name: subscription
SELECT * FROM {p}subscriptions WHERE id = ?1;

-- name: subscriptions
-- Returns the subscriptions of an organization, each with their edition. One row without a subscription is
-- returned if there is none.
SELECT a.number AS edition, s.* FROM (
  SELECT coalesce((SELECT e.edition FROM {p}editions e WHERE e.organization = ?1), 0) AS number) AS a
LEFT JOIN {p}subscriptions s ON s.organization = ?1 ORDER BY s.created_at, s.id;
