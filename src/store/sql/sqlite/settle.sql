-- Settling leases. The statements of one settlement run one after another in one message; each acts on the
-- leases that still hold, so that a stale one changes nothing.

-- name: settling
-- Returns, in one row, the leases among these that still hold: their places, subscriptions and ordering keys.
SELECT json_group_array(json_array(j.key, hex(d.subscription), d.ordering_key))
FROM jsonb_each(?) j CROSS JOIN {p}pending d ON d.id = unhex(j.value ->> 'id')
WHERE d.lease = j.value ->> 'lease';

-- name: append_ended
-- Writes deliveries that end into the history, with the attempts that ended them.
WITH j AS MATERIALIZED (SELECT value AS row FROM jsonb_each(?))
INSERT INTO {p}history (id, subscription, event, state, attempts, created_at, finished_at, version, ordering_key,
  number, started_at, duration, dns, connect, tls, first_byte, total, status, retry_after, error, reason, head_status,
  excerpt)
SELECT d.id, d.subscription, d.event, row ->> 'state',
  min(max(d.attempts, 0), 4294967294) + (row ->> 'tried'), d.created_at, row ->> 'finished_at', d.version, d.ordering_key,
  row ->> 'number', row ->> 'started_at', row ->> 'duration', row ->> 'dns', row ->> 'connect', row ->> 'tls',
  row ->> 'first_byte', row ->> 'total', row ->> 'status', row ->> 'retry_after', row ->> 'error', row ->> 'reason',
  row ->> 'head_status', row ->> 'excerpt'
FROM j CROSS JOIN {p}pending d ON d.id = unhex(row ->> 'id') WHERE d.lease = row ->> 'lease';

-- name: remove_ended
DELETE FROM {p}pending WHERE id IN (
  SELECT d.id FROM jsonb_each(?) j CROSS JOIN {p}pending d ON d.id = unhex(j.value ->> 'id')
  WHERE d.lease = j.value ->> 'lease');

-- name: log_attempts
-- Writes the attempts after which a delivery is still pending.
WITH j AS MATERIALIZED (SELECT value AS row FROM jsonb_each(?))
INSERT INTO {p}attempts (delivery,
  number, started_at, duration, dns, connect, tls, first_byte, total, status, retry_after, error, reason, head_status,
  excerpt)
SELECT d.id,
  row ->> 'number', row ->> 'started_at', row ->> 'duration', row ->> 'dns', row ->> 'connect', row ->> 'tls',
  row ->> 'first_byte', row ->> 'total', row ->> 'status', row ->> 'retry_after', row ->> 'error', row ->> 'reason',
  row ->> 'head_status', row ->> 'excerpt'
FROM j CROSS JOIN {p}pending d ON d.id = unhex(row ->> 'id') WHERE d.lease = row ->> 'lease' AND row ->> 'tried';

-- name: put_off
-- Uses up the leases of deliveries that are still pending, and writes when they are due.
UPDATE {p}pending AS d
SET lease = d.lease + 1, due_at = s.due_at, attempts = min(max(d.attempts, 0), 4294967294) + s.tried,
  is_retry = max(d.is_retry, s.tried), first_attempt_at = coalesce(d.first_attempt_at, s.started_at) + s.late,
  kept_since = iif(s.tried, NULL, coalesce(d.kept_since, s.kept_at))
FROM (
  SELECT unhex(value ->> 'id') AS id, value ->> 'lease' AS lease, value ->> 'due_at' AS due_at, value ->> 'tried' AS tried,
    value ->> 'started_at' AS started_at, value ->> 'late' AS late, value ->> 'kept_at' AS kept_at
  FROM jsonb_each(?)) AS s
WHERE d.id = s.id AND d.lease = s.lease;

-- name: settle_subscriptions
-- Pauses and disables subscriptions. A pause is only ever made longer, and only an enabled subscription is
-- disabled.
UPDATE {p}subscriptions AS s
SET paused_until = max(s.paused_until, coalesce(c.paused_until, s.paused_until)),
  paused_since = CASE WHEN c.paused_until IS NULL THEN s.paused_since
    WHEN s.paused_until + 86400000000 <= c.paused_at THEN c.paused_at ELSE coalesce(s.paused_since, c.paused_at) END,
  status = iif(s.status = 'enabled', coalesce(c.status, s.status), s.status),
  disabled_at = iif(s.status = 'enabled', c.disabled_at, s.disabled_at)
FROM (
  SELECT unhex(value ->> 'id') AS id, value ->> 'paused_until' AS paused_until, value ->> 'status' AS status,
    value ->> 'disabled_at' AS disabled_at, value ->> 'paused_at' AS paused_at
  FROM json_each(?1)) AS c
WHERE s.id = c.id;

-- name: unblock
-- Makes the first delivery of each ordering key due, if it is blocked. ?1 has the subscriptions and keys of
-- the deliveries that ended, and when.
UPDATE {p}pending AS d SET due_at = n.at
FROM (
  SELECT value ->> 2 AS at, (
    SELECT o.id FROM {p}pending o
    WHERE o.subscription = unhex(value ->> 0) AND o.ordering_key = value ->> 1
    ORDER BY o.place LIMIT 1) AS id
  FROM json_each(?1)) AS n
WHERE d.id = n.id AND d.due_at IS NULL;

-- name: put_health
-- Writes nothing if another call has written since ?2 was read.
UPDATE {p}subscriptions SET health = ?3 WHERE id = ?1 AND health = ?2;

-- name: disable
-- A subscription that is disabled already keeps its reason.
UPDATE {p}subscriptions SET status = ?2, disabled_at = ?3 WHERE id = ?1 AND status = 'enabled';
