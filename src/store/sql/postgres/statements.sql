-- The statements that PostgreSQL alone runs: most call a function of version_1/.

-- name: add_subscription
SELECT {p}add_subscription_1(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) AS outcome;

-- name: put_health
-- Disables a subscription that is enabled in the same statement, if `?4` has a reason.
WITH seen AS (
  SELECT id, status = 'enabled' AND ?4::text IS NOT NULL AS is_disabled
  FROM {p}subscriptions WHERE id = ?1 AND health = ?2 FOR UPDATE
)
UPDATE {p}subscriptions AS s
SET health = ?3,
  status = CASE WHEN seen.is_disabled THEN ?4 ELSE s.status END,
  disabled_at = CASE WHEN seen.is_disabled THEN ?5 ELSE s.disabled_at END
FROM seen WHERE s.id = seen.id RETURNING seen.is_disabled::int::bigint AS is_disabled;

-- name: delete_subscription
DELETE FROM {p}subscriptions WHERE id = ?1 RETURNING id;

-- name: cancel_all
SELECT ended, is_whole FROM {p}cancel_all_1(?1, ?2, ?3);

-- name: expire
SELECT {p}expire_1(?1, ?2, ?3) AS expired;

-- name: find_orphans
SELECT {p}find_orphans_1(?1) AS found;

-- name: insert
SELECT * FROM {p}insert_1(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24);

-- name: look
SELECT ready, organizations, failing, wait, waited, is_whole FROM {p}look_1(?1, ?2, ?3, ?4, ?5);

-- name: claim
SELECT * FROM {p}claim_1(?1, ?2, ?3, ?4, ?5, ?6);

-- name: extend
SELECT {p}extend_1(?1, ?2, ?3, ?4) AS done;

-- name: settle
SELECT {p}settle_1(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,
  ?21, ?22) AS done;

-- name: cancel
SELECT {p}cancel_1(?1, ?2) AS outcome;

-- name: replay
SELECT made, more, missing, missing_contract, missing_version FROM {p}replay_1(?1, ?2, ?3, ?4, ?5, ?6, ?7);

-- name: missing_payloads
SELECT events, contract, version FROM {p}missing_payloads_1(?1, ?2, ?3, ?4, ?5, ?6);

-- name: add_payloads
SELECT {p}add_payloads_1(?1, ?2, ?3, ?4, ?5, ?6);

-- name: expunge
SELECT is_known, is_whole, ended FROM {p}expunge_1(?1, ?2, ?3, ?4, ?5);

-- name: prune_payloads
SELECT pruned, is_last FROM {p}prune_payloads_1(?1, ?2, ?3);

-- name: prune_attempts
SELECT pruned, is_last FROM {p}prune_attempts_1(?1, ?2, ?3);

-- name: prune_deliveries
SELECT pruned, is_last FROM {p}prune_deliveries_1(?1, ?2, ?3);

-- name: dead_letters
-- The states are in the words of their index.
WITH f AS MATERIALIZED (SELECT o.* FROM (
    SELECT l.id FROM {p}subscriptions s CROSS JOIN unnest(ARRAY['exhausted', 'refused', 'gone', 'expired']) AS t (state)
    CROSS JOIN LATERAL (
      SELECT n.id FROM {p}deliveries n
      WHERE n.subscription = s.id AND n.state = t.state
        AND n.state IN ('exhausted', 'refused', 'gone', 'expired', 'cancelled', 'replayed', 'discarded')
        AND n.id < ?2 ORDER BY n.id DESC LIMIT ?3) AS l
    WHERE s.organization = ?1 ORDER BY l.id DESC LIMIT ?3) AS q
  JOIN {p}deliveries o ON o.id = ANY (ARRAY[q.id]))
SELECT d.*, e.id AS event_id, e.contract, e.version AS newest, e.type, e.organization
FROM f AS d LEFT JOIN {p}events e ON e.pk = ANY (ARRAY[d.event]) ORDER BY d.id DESC;

-- name: add_test
WITH e AS (
  INSERT INTO {p}events (organization, id, type, digest, created_at, attributes, payload, contract, version)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?24, ?25) RETURNING pk),
d AS (
  INSERT INTO {p}deliveries
    (id, event, subscription, state, attempts, first_attempt_at, created_at, finished_at, note, is_test)
  SELECT u.id, e.pk, u.subscription, ?10, 1, ?11, ?5, ?5, ?12, 1 FROM e, unnest(?8::uuid[], ?9::uuid[]) AS u (id, subscription)
  RETURNING seq)
INSERT INTO {p}attempts (delivery, lease, number, started_at, duration, dns, connect, tls, first_byte, total, status,
  retry_after, error, excerpt, reason, head_status)
SELECT d.seq, 1, ?13, ?11, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?26, ?27 FROM d RETURNING delivery;

-- name: reserve
SELECT lease, is_committed FROM {p}reserve_1(?1, ?2, ?3, ?4, ?5);

-- name: store_requests
SELECT {p}store_requests_1(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) AS done;

-- name: copies_of_requests
SELECT coalesce(array_agg(DISTINCT u.place), ARRAY[]::bigint[]) AS done
FROM unnest(?1::bigint[], ?2::text[], ?3::text[], ?4::bigint[]) AS u (place, source, id, since)
WHERE EXISTS (SELECT FROM {p}intake k WHERE k.source = u.source AND k.id = u.id AND k.received_at > u.since);

-- name: extend_requests
SELECT {p}extend_requests_1(?1, ?2, ?3, ?4, ?5) AS done;

-- name: settle_requests
SELECT {p}settle_requests_1(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) AS done;

-- name: notify
SELECT pg_notify(?1, ?2);
