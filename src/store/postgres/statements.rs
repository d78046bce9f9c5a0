//! Every statement, with the tables' schema and prefix in it, written once when the store is opened.

use crate::delivery::Delivery;
use crate::store::Page;
use crate::store::tables::statements;

statements! {
    /// Health and pause of one that is there stay.
    put_subscription: "\
INSERT INTO {p}subscriptions AS s
  (id, organization, url, filter, secrets, status, disabled_at, options, health, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (id) DO UPDATE SET organization = excluded.organization, url = excluded.url, filter = excluded.filter,
  secrets = excluded.secrets, status = excluded.status, disabled_at = excluded.disabled_at,
  options = excluded.options, created_at = excluded.created_at";

    add_subscription: "SELECT {p}add_subscription_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) AS told";

    /// Told by the row of whoever holds it.
    hold_secret: "\
INSERT INTO {p}secrets AS t (digest, subscription) SELECT $2, s.id FROM {p}subscriptions s WHERE s.id = $1
ON CONFLICT (digest) DO UPDATE SET subscription = t.subscription RETURNING t.subscription";

    list_subscriptions: "\
SELECT * FROM {p}subscriptions WHERE organization = $1 AND (created_at, id) > ($2, $3)
ORDER BY created_at, id LIMIT $4";

    subscription: "SELECT * FROM {p}subscriptions WHERE id = $1";

    subscriptions: "SELECT * FROM {p}subscriptions WHERE organization = $1 ORDER BY created_at, id";

    /// From $10 on what was seen.
    replace_subscription: "\
UPDATE {p}subscriptions AS s
SET organization = $2, url = $3, filter = $4, secrets = $5, status = $6, disabled_at = $7, options = $8, created_at = $9,
  health = CASE WHEN $6 = 'enabled' AND s.status <> 'enabled' THEN '' ELSE s.health END
WHERE id = $1 AND organization = $10 AND url = $11 AND filter = $12 AND secrets = $13 AND status = $14
  AND disabled_at IS NOT DISTINCT FROM $15 AND options = $16 AND created_at = $17
RETURNING id";

    subscription_ids: "SELECT id FROM {p}subscriptions WHERE id >= $1 ORDER BY id LIMIT $2";

    set_status: "\
UPDATE {p}subscriptions AS s
SET status = $2, disabled_at = $3,
  health = CASE WHEN $2 = 'enabled' AND s.status <> 'enabled' THEN '' ELSE s.health END
WHERE id = $1 RETURNING id";

    put_health: "UPDATE {p}subscriptions SET health = $3 WHERE id = $1 AND health = $2 RETURNING id";

    delete_subscription: "SELECT {p}delete_subscription_1($1, $2) AS is_done";

    insert: "SELECT {p}insert_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) AS told";

    look: "SELECT ready, wait, is_whole FROM {p}look_1($1, $2, $3, $4)";

    claim: "SELECT * FROM {p}claim_1($1, $2, $3, $4, $5)";

    extend: "SELECT {p}extend_1($1, $2, $3, $4) AS done";

    settle: "\
SELECT {p}settle_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) AS done";

    cancel: "SELECT {p}cancel_1($1, $2) AS is_done";

    replay: "SELECT made, more FROM {p}replay_1($1, $2, $3, $4, $5, $6, $7)";

    expunge: "SELECT is_known, is_whole FROM {p}expunge_1($1, $2, $3, $4)";

    prune_payloads: "SELECT pruned, is_last FROM {p}prune_payloads_1($1, $2, $3)";

    prune_attempts: "SELECT pruned, is_last FROM {p}prune_attempts_1($1, $2, $3)";

    prune_deliveries: "SELECT pruned, is_last FROM {p}prune_deliveries_1($1, $2, $3)";

    delivery: &deliveries("SELECT * FROM {p}deliveries WHERE id = $1", "");

    deliveries: &deliveries(&format!(
        "SELECT * FROM {{p}}deliveries WHERE {OF_SUBSCRIPTION} ORDER BY id DESC LIMIT $4"
    ), "ORDER BY d.id DESC");

    /// Where what is looked through for a page ends. The same of dead ones, below.
    floor: &format!(
        "SELECT id FROM {{p}}deliveries WHERE {OF_SUBSCRIPTION} ORDER BY id DESC LIMIT 1 OFFSET $4"
    );

    floor_of_dead: &format!(
        "SELECT id FROM {{p}}deliveries WHERE {OF_SUBSCRIPTION} AND state = $5 AND state IN ({DEAD}) ORDER BY id DESC LIMIT 1 OFFSET $4"
    );

    /// $5 is a state and $6 a type, each of which may be empty. No more than what is looked through for a page is in between.
    deliveries_that: &deliveries(
        &format!("SELECT * FROM {{p}}deliveries WHERE {OF_SUBSCRIPTION} ORDER BY id DESC LIMIT {LOOKED_THROUGH}"),
        "WHERE ($5::text IS NULL OR d.state = $5) AND ($6::text IS NULL OR e.type = $6) ORDER BY d.id DESC LIMIT $4",
    );

    dead_deliveries_that: &deliveries(
        &format!(
            "SELECT * FROM {{p}}deliveries WHERE {OF_SUBSCRIPTION} AND state = $5 AND state IN ({DEAD})
  ORDER BY id DESC LIMIT {LOOKED_THROUGH}"
        ),
        "WHERE $6::text IS NULL OR e.type = $6 ORDER BY d.id DESC LIMIT $4",
    );

    dead_letters: &deliveries(
        &format!(
            "SELECT o.* FROM (
    SELECT l.id FROM {{p}}subscriptions s CROSS JOIN unnest(ARRAY['exhausted', 'refused', 'gone']) AS t (state)
    CROSS JOIN LATERAL (
      SELECT n.id FROM {{p}}deliveries n
      WHERE n.subscription = s.id AND n.state = t.state AND n.state IN ({DEAD}) AND n.id < $2 ORDER BY n.id DESC LIMIT $3) AS l
    WHERE s.organization = $1 ORDER BY l.id DESC LIMIT $3) AS q
  JOIN {{p}}deliveries o ON o.id = ANY (ARRAY[q.id])"
        ),
        "ORDER BY d.id DESC",
    );

    discard: "\
UPDATE {p}deliveries AS d SET state = 'discarded', note = $3
WHERE d.id = $2 AND d.state IN ('exhausted', 'refused', 'gone')
  AND EXISTS (SELECT 1 FROM {p}events e WHERE e.pk = d.event AND e.organization = $1) RETURNING d.id";

    add_test: "\
WITH e AS (
  INSERT INTO {p}events (organization, id, type, digest, created_at, attributes, payload)
  VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING pk),
d AS (
  INSERT INTO {p}deliveries
    (id, event, subscription, state, attempts, first_attempt_at, created_at, finished_at, note, is_test)
  SELECT u.id, e.pk, u.subscription, $10, 1, $11, $5, $5, $12, 1 FROM e, unnest($8::uuid[], $9::uuid[]) AS u (id, subscription)
  RETURNING seq)
INSERT INTO {p}attempts (delivery, lease, number, started_at, duration, dns, connect, tls, first_byte, total, status,
  retry_after, error, excerpt)
SELECT d.seq, 1, $13, $11, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23 FROM d RETURNING delivery";

    event: "SELECT id, type, created_at, attributes, payload FROM {p}events WHERE organization = $1 AND id = $2";

    list_events: "\
SELECT pk, id, type, created_at, attributes, NULL::bytea AS payload FROM {p}events
WHERE organization = $1 AND pk < $2 ORDER BY pk DESC LIMIT $3";

    deliveries_of_event: &deliveries(
        "SELECT o.* FROM {p}deliveries o WHERE o.event = (SELECT pk FROM {p}events WHERE organization = $1 AND id = $2)
    AND (o.subscription, o.id) > ($3, $4) ORDER BY o.subscription, o.id LIMIT $5",
        "ORDER BY d.subscription, d.id",
    );

    /// $5 and $6 are the period's begin and end, $7 the length of a slot.
    counts_of_period: &attempts_of_period("\
SELECT (started_at - $5) / $7 AS slot, status, error, count(*) AS attempts FROM a GROUP BY 1, 2, 3");

    latency_of_period: &attempts_of_period("\
SELECT t.took[1] AS median, t.took[2] AS p95, t.took[3] AS p99, t.took[4] AS longest
FROM (SELECT percentile_disc(ARRAY[0.5, 0.95, 0.99, 1]) WITHIN GROUP (ORDER BY duration) AS took
  FROM a WHERE status IS NOT NULL) AS t");

    /// What waits behind another of its lane has no due time.
    backlog: "\
SELECT count(*) AS pending, min(n.created_at) AS oldest FROM (
  (SELECT d.created_at FROM {p}deliveries d WHERE d.subscription = $1 AND d.due_at IS NOT NULL ORDER BY d.due_at LIMIT $2)
  UNION ALL
  (SELECT d.created_at FROM {p}deliveries d
   WHERE d.lane IS NOT NULL AND d.state = 'pending' AND d.due_at IS NULL AND d.subscription = $1 AND d.lane = ANY (ARRAY(
     SELECT o.lane FROM {p}deliveries o WHERE o.subscription = $1 AND o.due_at IS NOT NULL AND o.lane IS NOT NULL LIMIT $2))
   LIMIT $2)
  LIMIT $2) AS n";

    attempts: "\
SELECT a.* FROM {p}deliveries d JOIN {p}attempts a ON a.delivery = d.seq WHERE d.id = $1 ORDER BY a.number, a.lease";

    reserve: "SELECT lease, is_committed FROM {p}reserve_1($1, $2, $3, $4, $5)";

    commit: "\
UPDATE {p}inbox SET committed = true, keep_until = {p}later_1({p}now_1($4), $5)
WHERE source = $1 AND id = $2 AND lease = $3 RETURNING lease";

    /// The row stays, so that the number given next is greater.
    release: "\
UPDATE {p}inbox SET lease = lease + 1, lease_until = -9223372036854775808
WHERE source = $1 AND id = $2 AND lease = $3 AND NOT committed RETURNING lease";

    prune: "\
DELETE FROM {p}inbox WHERE (source, id) IN (
  SELECT source, id FROM {p}inbox WHERE keep_until <= {p}now_1($1) ORDER BY keep_until LIMIT $2 FOR UPDATE SKIP LOCKED)
RETURNING lease";

    keep_requests: "SELECT {p}keep_1($1, $2, $3, $4, $5, $6, $7, $8, $9) AS done";

    next_due_request: "\
SELECT due_at - {p}now_1($2) AS wait FROM {p}intake WHERE queue = $1 AND due_at IS NOT NULL ORDER BY due_at LIMIT 1";

    take_requests: "SELECT * FROM {p}take_1($1, $2, $3, $4, $5, $6)";

    extend_requests: "SELECT {p}extend_taken_1($1, $2, $3, $4, $5) AS done";

    settle_requests: "SELECT {p}settle_taken_1($1, $2, $3, $4, $5, $6, $7) AS done";

    given_up_requests: "\
SELECT * FROM {p}intake WHERE queue = $1 AND given_up_at IS NOT NULL AND (source, id) > ($2, $3)
ORDER BY source, id LIMIT $4";

    put_back_request: "\
UPDATE {p}intake SET due_at = {p}now_1($3), given_up_at = NULL, attempts = 0, first_attempt_at = NULL, reason = ''
WHERE source = $1 AND id = $2 AND given_up_at IS NOT NULL RETURNING pk";

    close_request: "\
UPDATE {p}intake SET keep_until = {p}later_1({p}now_1($3), $4), given_up_at = NULL, reason = '', body = NULL
WHERE source = $1 AND id = $2 AND given_up_at IS NOT NULL RETURNING pk";

    /// The time is asked for once: as a function of each row it could not lead into the index.
    prune_requests: "\
DELETE FROM {p}intake WHERE pk = ANY (ARRAY(
  SELECT pk FROM {p}intake WHERE keep_until <= (SELECT {p}now_1($1)) ORDER BY keep_until LIMIT $2 FOR UPDATE SKIP LOCKED))
RETURNING pk";

    notify: "SELECT pg_notify($1, $2)";
}

/// Deliveries that a query finds, with what of their events is read, narrowed and in order.
fn deliveries(found: &str, rest: &str) -> String {
    format!(
        "WITH f AS MATERIALIZED ({found})
SELECT d.*, e.id AS event_id, e.type, e.organization FROM f AS d LEFT JOIN {{p}}events e ON e.pk = ANY (ARRAY[d.event]) {rest}"
    )
}

/// $1 is the subscription, $2 and $3 are the ids from and before which its deliveries are looked at, $4 is how many.
fn attempts_of_period(told: &str) -> String {
    format!(
        "WITH d AS MATERIALIZED (
  SELECT seq, is_test FROM {{p}}deliveries WHERE {OF_SUBSCRIPTION} ORDER BY id DESC LIMIT $4),
a AS MATERIALIZED (
  SELECT n.started_at, n.duration, n.status, n.error FROM d JOIN {{p}}attempts n ON n.delivery = ANY (ARRAY[d.seq])
  WHERE d.is_test IS NULL AND n.started_at >= $5 AND n.started_at < $6)
{told}"
    )
}

/// Of which subscription, and the ids from and before which.
const OF_SUBSCRIPTION: &str = "subscription = $1 AND id >= $2 AND id < $3";

/// The states of the dead, as the index of them has it.
const DEAD: &str = "'exhausted', 'refused', 'gone', 'cancelled', 'replayed', 'discarded'";

const LOOKED_THROUGH: u32 = Page::<Delivery>::LOOKED_THROUGH;
