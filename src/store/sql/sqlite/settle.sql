-- Settling leases. Each statement that takes a lease changes nothing if the lease does not hold.

-- name: append_ended
-- Writes a delivery that ends into the history, with the attempt that ended it. The columns are copied here,
-- so that a damaged row can be ended.
INSERT INTO {p}history (id, subscription, event, state, attempts, created_at, finished_at, version, ordering_key,
  number, started_at, duration, dns, connect, tls, first_byte, total, status, retry_after, error, reason, head_status,
  excerpt)
SELECT d.id, d.subscription, d.event, ?3, min(max(d.attempts, 0), 4294967294) + ?4, d.created_at, ?5, d.version, d.ordering_key,
  ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19
FROM {p}pending d WHERE d.id = ?1 AND d.lease = ?2;

-- name: remove_ended
DELETE FROM {p}pending WHERE id = ?1 RETURNING subscription, ordering_key;

-- name: put_off
-- Uses up the lease of a delivery that is still pending, and writes when it is due.
UPDATE {p}pending
SET lease = lease + 1, due_at = ?3, attempts = min(max(attempts, 0), 4294967294) + ?4, is_retry = max(is_retry, ?4),
  first_attempt_at = coalesce(first_attempt_at, ?5) + ?6, kept_since = iif(?4, NULL, coalesce(kept_since, ?7))
WHERE id = ?1 AND lease = ?2 RETURNING subscription, ordering_key;

-- name: log_attempt
-- Writes an attempt after which the delivery is still pending.
INSERT INTO {p}attempts (delivery, number, started_at, duration, dns, connect, tls, first_byte, total, status, retry_after,
  error, reason, head_status, excerpt)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15);

-- name: settle_subscription
-- Pauses a subscription until ?2 from ?3 on, and disables it for the reason ?4 at ?5. A pause is only ever
-- made longer, and only an enabled subscription is disabled.
UPDATE {p}subscriptions
SET paused_until = max(paused_until, coalesce(?2, paused_until)),
  paused_since = CASE WHEN ?2 IS NULL THEN paused_since
    WHEN paused_until + 86400000000 <= ?3 THEN ?3 ELSE coalesce(paused_since, ?3) END,
  status = iif(status = 'enabled', coalesce(?4, status), status),
  disabled_at = iif(status = 'enabled', ?5, disabled_at)
WHERE id = ?1;

-- name: unblock
-- Makes the first delivery of the ordering key ?2 due at ?3, if it is blocked.
UPDATE {p}pending SET due_at = ?3
WHERE due_at IS NULL AND id = (
  SELECT o.id FROM {p}pending o WHERE o.subscription = ?1 AND o.ordering_key = ?2 ORDER BY o.place LIMIT 1);

-- name: put_health
-- Writes nothing if another call has written since ?2 was read.
UPDATE {p}subscriptions SET health = ?3 WHERE id = ?1 AND health = ?2;

-- name: disable
-- A subscription that is disabled already keeps its reason.
UPDATE {p}subscriptions SET status = ?2, disabled_at = ?3 WHERE id = ?1 AND status = 'enabled';
