-- The statements of shared calls that SQLite words in its own way.

-- name: delivery
-- A delivery by its id, from the one table or the other.
WITH f AS (
  SELECT id, subscription, event, 'pending' AS state, attempts, due_at, created_at, version, NULL AS note, NULL AS is_test
  FROM {p}pending WHERE id = ?1
  UNION ALL
  SELECT id, subscription, event, state, attempts, NULL, created_at, version, note, is_test FROM {p}history WHERE id = ?1)
SELECT d.*, e.id AS event_id, e.type, e.organization, e.contract, e.version AS newest
FROM f AS d LEFT JOIN {p}events e ON e.pk = d.event;

-- name: dead_deliveries_that
-- The deliveries in dead state ?5 and of event type ?6 (may be NULL, for any) among at most ?7 that a page
-- reads.
WITH f AS MATERIALIZED (
  SELECT id, subscription, event, state, attempts, created_at, version, note, is_test
  FROM {p}history INDEXED BY {p}history_letters
  WHERE subscription = ?1 AND id >= ?2 AND id < ?3 AND state = ?5 AND state <> 'delivered' ORDER BY id DESC LIMIT ?7)
SELECT d.*, e.id AS event_id, e.type, e.organization, e.contract, e.version AS newest
FROM f AS d LEFT JOIN {p}events e ON e.pk = d.event WHERE ?6 IS NULL OR e.type = ?6 ORDER BY d.id DESC LIMIT ?4;

-- name: floor_of_dead
-- The id at which a page has read as many deliveries in the dead state ?5 as it may; no row where there are
-- fewer.
SELECT id FROM {p}history INDEXED BY {p}history_letters
WHERE subscription = ?1 AND id >= ?2 AND id < ?3 AND state = ?5 AND state <> 'delivered'
ORDER BY id DESC LIMIT 1 OFFSET ?4;

-- name: ids_of_organization
SELECT id FROM {p}subscriptions WHERE organization = ?1;

-- name: attempts
-- The attempts of a delivery: those after which it was still pending, then the one that ended it.
SELECT number, started_at, duration, dns, connect, tls, first_byte, total, status, retry_after, error, reason,
  head_status, excerpt, pk AS place
FROM {p}attempts WHERE delivery = ?1
UNION ALL
SELECT number, started_at, duration, dns, connect, tls, first_byte, total, status, retry_after, error, reason,
  head_status, excerpt, 9223372036854775807
FROM {p}history WHERE id = ?1 AND started_at IS NOT NULL
ORDER BY number, place;

-- name: counts_of_period
-- Outcomes of the attempts that began from ?5 on and before ?6, by slots of ?7 microseconds; of the newest ?4
-- deliveries with ids from ?2 on and before ?3.
WITH d AS MATERIALIZED (
  SELECT id FROM {p}directory WHERE subscription = ?1 AND id >= ?2 AND id < ?3 ORDER BY id DESC LIMIT ?4),
a AS MATERIALIZED (
  SELECT h.started_at, h.status, h.error FROM d CROSS JOIN {p}history h ON h.id = d.id
  WHERE h.is_test IS NULL AND h.started_at >= ?5 AND h.started_at < ?6
  UNION ALL
  SELECT t.started_at, t.status, t.error FROM d CROSS JOIN {p}attempts t ON t.delivery = d.id
  WHERE t.started_at >= ?5 AND t.started_at < ?6)
SELECT (started_at - ?5) / ?7 AS slot, status, error, count(*) AS attempts FROM a GROUP BY 1, 2, 3;

-- name: latency_of_period
-- Percentiles of the durations of the same attempts, as far as they were answered.
WITH d AS MATERIALIZED (
  SELECT id FROM {p}directory WHERE subscription = ?1 AND id >= ?2 AND id < ?3 ORDER BY id DESC LIMIT ?4),
a AS MATERIALIZED (
  SELECT h.duration FROM d CROSS JOIN {p}history h ON h.id = d.id
  WHERE h.is_test IS NULL AND h.started_at >= ?5 AND h.started_at < ?6 AND h.status IS NOT NULL
  UNION ALL
  SELECT t.duration FROM d CROSS JOIN {p}attempts t ON t.delivery = d.id
  WHERE t.started_at >= ?5 AND t.started_at < ?6 AND t.status IS NOT NULL)
SELECT max(duration) FILTER (WHERE place = (50 * total + 99) / 100) AS median,
  max(duration) FILTER (WHERE place = (95 * total + 99) / 100) AS p95,
  max(duration) FILTER (WHERE place = (99 * total + 99) / 100) AS p99, max(duration) AS longest
FROM (SELECT duration, row_number() OVER (ORDER BY duration) AS place, count(*) OVER () AS total FROM a);

-- name: backlog
-- Counts at most ?2 pending deliveries. One that is blocked by another of its ordering key has no due time.
SELECT count(*) AS pending, min(created_at) AS oldest FROM (
  SELECT created_at FROM (
    SELECT created_at FROM {p}pending WHERE subscription = ?1 AND is_retry = 1 AND due_at IS NOT NULL ORDER BY due_at LIMIT ?2)
  UNION ALL SELECT created_at FROM (
    SELECT created_at FROM {p}pending WHERE subscription = ?1 AND is_retry = 0 AND due_at IS NOT NULL ORDER BY due_at LIMIT ?2)
  UNION ALL SELECT created_at FROM (
    SELECT created_at FROM {p}pending
    WHERE subscription = ?1 AND ordering_key IS NOT NULL AND due_at IS NULL LIMIT ?2)
  LIMIT ?2);

-- name: backlog_by_contract
-- How long the oldest due delivery of each contract has waited at ?1, and how many are due, counted up to ?2.
-- Goes from subscription to subscription by one search each, as a look does.
WITH RECURSIVE hop (subscription) AS (
  SELECT min(subscription) FROM {p}pending WHERE due_at IS NOT NULL
  UNION ALL
  SELECT (SELECT min(d.subscription) FROM {p}pending d WHERE d.due_at IS NOT NULL AND d.subscription > hop.subscription)
  FROM hop WHERE hop.subscription IS NOT NULL),
a AS MATERIALIZED (
  SELECT s.id, s.contract, max(s.paused_until,
    (SELECT min(due_at) FROM (
      SELECT min(d.due_at) AS due_at FROM {p}pending d WHERE d.subscription = s.id AND d.is_retry = 0 AND d.due_at IS NOT NULL
      UNION ALL
      SELECT min(d.due_at) FROM {p}pending d WHERE d.subscription = s.id AND d.is_retry = 1 AND d.due_at IS NOT NULL))) AS ready_at
  FROM hop CROSS JOIN {p}subscriptions s ON s.id = hop.subscription WHERE s.status = 'enabled'),
c AS MATERIALIZED (
  SELECT contract, min(ready_at) AS ready_at FROM a WHERE ready_at <= {now(?1)} GROUP BY contract ORDER BY contract)
SELECT c.contract, {now(?1)} - c.ready_at AS waited, (
  SELECT count(*) FROM (
    SELECT 1 FROM a CROSS JOIN {p}pending d ON d.subscription = a.id
    WHERE a.contract = c.contract AND a.ready_at <= {now(?1)} AND d.is_retry IN (0, 1) AND d.due_at <= {now(?1)} LIMIT ?2)) AS due
FROM c;

-- name: lease_requests
-- Leases up to ?4 due requests of a queue, or gives up those that were leased ?5 times. The number of a first
-- lease is the time, so that it is greater than any before the request was forgotten.
UPDATE {p}intake
SET lease = max(lease + 1, ?2, 1), was_due_at = due_at,
  attempts = iif(attempts < ?5, attempts + 1, attempts),
  due_at = iif(attempts < ?5, {later(?2, ?3)}, NULL),
  given_up_at = iif(attempts < ?5, NULL, ?2),
  reason = CASE WHEN attempts < ?5 THEN reason WHEN reason = '' THEN ?6 ELSE ?6 || '; before that: ' || reason END,
  first_attempt_at = coalesce(first_attempt_at, ?2)
WHERE pk IN (SELECT pk FROM {p}intake WHERE queue = ?1 AND due_at <= ?2 ORDER BY due_at, pk LIMIT ?4)
RETURNING *;

-- name: expire_requests
UPDATE {p}intake SET keep_until = {later(?2, ?4)}, given_up_at = NULL, reason = '', body = NULL
WHERE pk IN (
  SELECT pk FROM {p}intake WHERE queue = ?1 AND given_up_at <= {now(?2)} - ?3 ORDER BY given_up_at LIMIT ?5)
RETURNING source, id;

-- name: prune_requests
DELETE FROM {p}intake WHERE pk IN (
  SELECT pk FROM {p}intake WHERE keep_until <= ?1 ORDER BY keep_until LIMIT ?2)
RETURNING pk;
