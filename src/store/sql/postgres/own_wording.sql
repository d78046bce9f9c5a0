-- The statements of shared calls that PostgreSQL words in its own way. `= ANY (ARRAY[..])` in place of `=`
-- has the planner search an index for each row, also while a table is so small that it would rather read all
-- of it.

-- name: delivery
WITH f AS MATERIALIZED (SELECT * FROM {p}deliveries WHERE id = ?1)
SELECT d.*, e.id AS event_id, e.contract, e.version AS newest, e.type, e.organization FROM f AS d LEFT JOIN {p}events e ON e.pk = {seek(d.event)};

-- name: dead_deliveries_that
-- The deliveries in dead state ?5 and of event type ?6 (may be NULL, for any) among at most ?7 that a page
-- reads.
WITH f AS MATERIALIZED (
  SELECT * FROM {p}deliveries
  WHERE subscription = ?1 AND id >= ?2 AND id < ?3 AND state = ?5
    AND state IN ('exhausted', 'refused', 'gone', 'expired', 'cancelled', 'replayed', 'discarded')
  ORDER BY id DESC LIMIT ?7)
SELECT d.*, e.id AS event_id, e.contract, e.version AS newest, e.type, e.organization
FROM f AS d LEFT JOIN {p}events e ON e.pk = {seek(d.event)}
WHERE ?6 IS NULL OR e.type = ?6 ORDER BY d.id DESC LIMIT ?4;

-- name: floor_of_dead
-- The id at which a page has read as many deliveries in the dead state ?5 as it may; no row where there are
-- fewer.
SELECT id FROM {p}deliveries
WHERE subscription = ?1 AND id >= ?2 AND id < ?3 AND state = ?5
  AND state IN ('exhausted', 'refused', 'gone', 'expired', 'cancelled', 'replayed', 'discarded')
ORDER BY id DESC LIMIT 1 OFFSET ?4;

-- name: attempts
SELECT a.* FROM {p}deliveries d JOIN {p}attempts a ON a.delivery = d.seq WHERE d.id = ?1 ORDER BY a.number, a.lease;

-- name: counts_of_period
-- Outcomes of the attempts that began from ?5 on and before ?6, by slots of ?7 microseconds; of the newest ?4
-- deliveries with ids from ?2 on and before ?3.
WITH d AS MATERIALIZED (
  SELECT seq, is_test FROM {p}deliveries WHERE subscription = ?1 AND id >= ?2 AND id < ?3 ORDER BY id DESC LIMIT ?4),
a AS MATERIALIZED (
  SELECT n.started_at, n.duration, n.status, n.error FROM d JOIN {p}attempts n ON n.delivery = {seek(d.seq)}
  WHERE d.is_test IS NULL AND n.started_at >= ?5 AND n.started_at < ?6)
SELECT (started_at - ?5) / ?7 AS slot, status, error, count(*) AS attempts FROM a GROUP BY 1, 2, 3;

-- name: latency_of_period
-- Percentiles of the durations of the same attempts, as far as they were answered.
WITH d AS MATERIALIZED (
  SELECT seq, is_test FROM {p}deliveries WHERE subscription = ?1 AND id >= ?2 AND id < ?3 ORDER BY id DESC LIMIT ?4),
a AS MATERIALIZED (
  SELECT n.started_at, n.duration, n.status FROM d JOIN {p}attempts n ON n.delivery = {seek(d.seq)}
  WHERE d.is_test IS NULL AND n.started_at >= ?5 AND n.started_at < ?6)
SELECT t.took[1] AS median, t.took[2] AS p95, t.took[3] AS p99, t.took[4] AS longest
FROM (SELECT percentile_disc(ARRAY[0.5, 0.95, 0.99, 1]) WITHIN GROUP (ORDER BY duration) AS took
  FROM a WHERE status IS NOT NULL) AS t;

-- name: backlog
-- Counts at most ?2 pending deliveries. One that is blocked by another of its order group has no due time.
SELECT count(*) AS pending, min(n.created_at) AS oldest FROM (
  (SELECT d.created_at FROM {p}deliveries d
   WHERE d.subscription = ?1 AND d.is_retry AND d.due_at IS NOT NULL ORDER BY d.due_at LIMIT ?2)
  UNION ALL
  (SELECT d.created_at FROM {p}deliveries d
   WHERE d.subscription = ?1 AND NOT d.is_retry AND d.due_at IS NOT NULL ORDER BY d.due_at LIMIT ?2)
  UNION ALL
  (SELECT d.created_at FROM {p}deliveries d
   WHERE d.order_group IS NOT NULL AND d.state = 'pending' AND d.due_at IS NULL AND d.subscription = ?1
     AND d.order_group = ANY (ARRAY(
       SELECT o.order_group FROM {p}deliveries o
       WHERE o.subscription = ?1 AND o.due_at IS NOT NULL AND o.order_group IS NOT NULL LIMIT ?2))
   LIMIT ?2)
  LIMIT ?2) AS n;

-- name: backlog_by_contract
-- How long the oldest due delivery of each contract has waited at ?1, and how many are due, counted up to ?2.
-- Goes from subscription to subscription by one search each, as a look does.
WITH RECURSIVE t AS MATERIALIZED (SELECT {now(?1)} AS now),
hop AS (
  (SELECT d.subscription, d.due_at FROM {p}deliveries d
    WHERE d.due_at IS NOT NULL ORDER BY d.subscription, d.is_retry, d.due_at LIMIT 1)
  UNION ALL
  SELECT n.subscription, n.due_at FROM hop
  CROSS JOIN LATERAL (
    SELECT d.subscription, d.due_at FROM {p}deliveries d
    WHERE d.due_at IS NOT NULL AND d.subscription > hop.subscription
    ORDER BY d.subscription, d.is_retry, d.due_at LIMIT 1) AS n),
a AS MATERIALIZED (
  SELECT s.id, s.contract, greatest(s.paused_until, least(hop.due_at, (
    SELECT r.due_at FROM {p}deliveries r
    WHERE r.subscription = s.id AND r.is_retry AND r.due_at IS NOT NULL ORDER BY r.due_at LIMIT 1))) AS ready_at
  FROM hop JOIN {p}subscriptions s ON s.id = {seek(hop.subscription)} WHERE s.status = 'enabled')
SELECT c.contract, t.now - c.ready_at AS waited, (
  SELECT count(*) FROM (
    SELECT 1 FROM a CROSS JOIN LATERAL (
      SELECT 1 FROM (VALUES (false), (true)) AS k (is_retry) JOIN {p}deliveries d
      ON d.subscription = a.id AND d.is_retry = k.is_retry AND d.due_at <= t.now LIMIT ?2) AS n
    WHERE a.contract = c.contract AND a.ready_at <= t.now LIMIT ?2) AS n) AS due
FROM t CROSS JOIN LATERAL (
  SELECT a.contract, min(a.ready_at) AS ready_at FROM a WHERE a.ready_at <= t.now GROUP BY a.contract) AS c
ORDER BY c.contract;

-- name: lease_requests
SELECT * FROM {p}lease_requests_1(?1, ?2, ?3, ?4, ?5, ?6);

-- name: expire_requests
UPDATE {p}intake SET keep_until = {later(?2, ?4)}, given_up_at = NULL, reason = '', body = NULL
WHERE pk = ANY (ARRAY(
  SELECT pk FROM {p}intake WHERE queue = ?1 AND given_up_at <= (SELECT {now(?2)}) - ?3
  ORDER BY given_up_at LIMIT ?5{skip_locked}))
RETURNING source, id;

-- name: prune_requests
-- The subquery computes the time once. A function that is called for each row could not be searched for in
-- the index.
DELETE FROM {p}intake WHERE pk = ANY (ARRAY(
  SELECT pk FROM {p}intake WHERE keep_until <= (SELECT {now(?1)}) ORDER BY keep_until LIMIT ?2{skip_locked}))
RETURNING pk;

-- name: subscriptions
-- An edition is the sum of its rows.
SELECT o.number AS edition, s.* FROM (
  SELECT coalesce(sum(e.edition) % 4611686018427387904, 0)::bigint AS number FROM {p}editions e WHERE e.organization = ?1) AS o
LEFT JOIN {p}subscriptions s ON s.organization = ?1 ORDER BY s.created_at, s.id;
