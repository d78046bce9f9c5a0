-- Finding and leasing due deliveries.

-- name: look
-- Returns when each enabled subscription of the contracts ?3 can be claimed from, after ?1 and up to ?2.
-- Takes a few index searches for each subscription with pending deliveries, however many deliveries there
-- are.
WITH RECURSIVE hop (subscription) AS (
  SELECT min(subscription) FROM {p}pending WHERE due_at IS NOT NULL AND subscription > ?1 AND subscription <= ?2
  UNION ALL
  SELECT (SELECT min(d.subscription) FROM {p}pending d
    WHERE d.due_at IS NOT NULL AND d.subscription > hop.subscription AND d.subscription <= ?2)
  FROM hop WHERE hop.subscription IS NOT NULL)
SELECT s.id, s.contract, s.organization, s.health <> '' AS is_failing, max(s.paused_until,
  (SELECT min(due_at) FROM (
    SELECT min(d.due_at) AS due_at FROM {p}pending d WHERE d.subscription = s.id AND d.is_retry = 0 AND d.due_at IS NOT NULL
    UNION ALL
    SELECT min(d.due_at) FROM {p}pending d WHERE d.subscription = s.id AND d.is_retry = 1 AND d.due_at IS NOT NULL))) AS ready_at
FROM hop CROSS JOIN {p}subscriptions s ON s.id = hop.subscription
WHERE s.status = 'enabled' AND s.contract IN (SELECT value FROM json_each(?3));

-- name: due
-- Finds the due deliveries of a subscription, from a time on, with their next lease numbers: new deliveries
-- before retries. The number of a lease is odd. Where a damaged row has a number that cannot be counted on
-- from, the time is taken instead.
SELECT d.id, d.event, d.subscription,
  iif(d.lease BETWEEN 0 AND 4611686018427387903, (d.lease | 1) + 2 * (d.lease & 1), max(?5, 1) | 1) AS lease,
  d.attempts, d.first_attempt_at, d.due_at AS was_due_at, d.ordering_key IS NOT NULL AS is_ordered, d.version
FROM (
  SELECT id FROM {p}pending
  WHERE subscription = ?1 AND is_retry IN (0, 1) AND due_at >= ?2 AND due_at <= ?3 ORDER BY is_retry, due_at, id LIMIT ?4) AS q
CROSS JOIN {p}pending d ON d.id = q.id;

-- name: lease
UPDATE {p}pending SET lease = ?, due_at = ? WHERE id = ?;

-- name: event_of_claim
-- Returns an event with its payload in a version, or in its newest if ?2 is NULL.
SELECT e.id, e.type, e.contract, e.version AS newest, e.trace,
  CASE WHEN ?2 IS NULL THEN e.payload
    ELSE (SELECT p.bytes FROM {p}payloads p WHERE p.event = e.pk AND p.version = ?2) END AS payload
FROM {p}events e WHERE e.pk = ?1;

-- name: extend
-- Moves the ends of the leases ?1 that are still the last to ?2, and returns them.
UPDATE {p}pending AS d SET due_at = ?2
FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS lease FROM json_each(?1)) AS x
WHERE d.id = x.id AND d.lease = x.lease
RETURNING id, lease;

-- name: ahead
-- Returns, in one row, the deliveries whose times were written by a clock that was ahead, each with its due
-- time and the one that is right, and whether such a clock wrote a pause. ?1 is the time, ?2 the time from
-- which on a time is ahead, ?3 the end of a lease that begins now, and ?4 the latest end that a lease has.
--
-- A first attempt waits for nothing. A retry waits again for as long as after its last attempt, and what was
-- handed back for five minutes at most.
WITH RECURSIVE hop (subscription) AS (
  SELECT min(subscription) FROM {p}pending WHERE due_at IS NOT NULL
  UNION ALL
  SELECT (SELECT min(d.subscription) FROM {p}pending d WHERE d.due_at IS NOT NULL AND d.subscription > hop.subscription)
  FROM hop WHERE hop.subscription IS NOT NULL)
SELECT json_group_array(json_array(hex(id), due_at, mended)) FILTER (WHERE mended IS NOT NULL) AS deliveries,
  EXISTS (SELECT 1 FROM {p}subscriptions WHERE paused_since > ?2) AS has_pauses
FROM (
  SELECT id, due_at, CASE
    WHEN lease & 1 THEN iif(due_at > ?4, ?3, NULL)
    WHEN is_retry = 0 AND kept_since IS NULL THEN ?1
    WHEN written_at > ?2 THEN ?1 + min(max(due_at - written_at, 0), iif(kept_since IS NULL, due_at, 300000000))
  END AS mended
  FROM (
    SELECT q.id, q.due_at, q.lease, q.is_retry, q.kept_since, max(q.created_at, coalesce(q.kept_since, 0), coalesce((
      SELECT a.started_at FROM {p}attempts a WHERE a.delivery = q.id ORDER BY a.number DESC LIMIT 1), 0)) AS written_at
    FROM hop CROSS JOIN {p}pending q ON q.subscription = hop.subscription AND q.is_retry IN (0, 1) AND q.due_at > ?2));

-- name: mend
-- Writes the right due times of the deliveries ?1, where they have not changed since. ?2 is the time.
UPDATE {p}pending AS d SET due_at = j.mended, kept_since = iif(d.kept_since > ?2, ?2, d.kept_since)
FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS due_at, value ->> 2 AS mended FROM json_each(?1)) AS j
WHERE d.id = j.id AND d.due_at = j.due_at;

-- name: mend_pauses
-- Has pauses that began after ?2 begin at ?1.
UPDATE {p}subscriptions SET paused_until = ?1 + max(paused_until - paused_since, 0), paused_since = ?1
WHERE paused_since > ?2;
