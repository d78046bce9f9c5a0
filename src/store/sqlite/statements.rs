//! Every statement, with the tables' prefix in it, written once when the store is opened.

use sqlx::SqlStr;

use crate::store::tables::statements;

statements! {
    /// Health and pause of one that is there stay.
    put_subscription: "\
INSERT INTO {p}subscriptions
  (id, organization, url, filter, secrets, status, disabled_at, options, health, created_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
ON CONFLICT (id) DO UPDATE SET organization = excluded.organization, url = excluded.url, filter = excluded.filter,
  secrets = excluded.secrets, status = excluded.status, disabled_at = excluded.disabled_at,
  options = excluded.options, created_at = excluded.created_at";

    add_subscription: "\
INSERT INTO {p}subscriptions
  (id, organization, url, filter, secrets, status, disabled_at, options, health, created_at)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10
WHERE (SELECT count(*) FROM (SELECT 1 FROM {p}subscriptions WHERE organization = ?2 LIMIT ?11)) < ?11";

    hold_secret: "\
INSERT INTO {p}secrets (digest, subscription) SELECT ?2, ?1
WHERE EXISTS (SELECT 1 FROM {p}subscriptions WHERE id = ?1)
ON CONFLICT (digest) DO NOTHING";

    holds_secret: "SELECT 1 FROM {p}secrets WHERE digest = ?2 AND subscription = ?1";

    forget_secrets: "DELETE FROM {p}secrets WHERE subscription = ?1";

    list_subscriptions: "\
SELECT * FROM {p}subscriptions WHERE organization = ?1 AND (created_at, id) > (?2, ?3)
ORDER BY created_at, id LIMIT ?4";

    subscription: "SELECT * FROM {p}subscriptions WHERE id = ?1";

    subscriptions: "SELECT * FROM {p}subscriptions WHERE organization = ?1 ORDER BY created_at, id";

    /// From ?10 on what was seen.
    replace_subscription: "\
UPDATE {p}subscriptions
SET organization = ?2, url = ?3, filter = ?4, secrets = ?5, status = ?6, disabled_at = ?7, options = ?8, created_at = ?9,
  health = iif(?6 = 'enabled' AND status <> 'enabled', '', health)
WHERE id = ?1 AND organization = ?10 AND url = ?11 AND filter = ?12 AND secrets = ?13 AND status = ?14
  AND disabled_at IS ?15 AND options = ?16 AND created_at = ?17";

    subscription_ids: "SELECT id FROM {p}subscriptions WHERE id >= ?1 ORDER BY id LIMIT ?2";

    set_status: "\
UPDATE {p}subscriptions
SET status = ?2, disabled_at = ?3, health = iif(?2 = 'enabled' AND status <> 'enabled', '', health)
WHERE id = ?1";

    put_health: "UPDATE {p}subscriptions SET health = ?3 WHERE id = ?1 AND health = ?2";

    delete_subscription: "DELETE FROM {p}subscriptions WHERE id = ?1";

    /// With `cancel_waiting_of_subscription` all that is pending: what has no due time waits for others of its key.
    cancel_due_of_subscription: "\
UPDATE {p}deliveries SET state = 'cancelled', due_at = NULL, finished_at = ?2
WHERE subscription = ?1 AND due_at IS NOT NULL";

    cancel_waiting_of_subscription: "\
UPDATE {p}deliveries SET state = 'cancelled', due_at = NULL, finished_at = ?2
WHERE subscription = ?1 AND ordering_key IS NOT NULL AND state = 'pending'";

    /// The first argument tells of each event its columns, and where in the third its payload lies; the second is their digests.
    /// Where none is known already, the numbers that they are given follow each other. Of no bytes a part is NULL.
    insert_events: "\
WITH j AS MATERIALIZED (SELECT key AS place, value AS row FROM jsonb_each(?))
INSERT INTO {p}events (organization, id, type, digest, created_at, unwanted_at, attributes, payload)
SELECT row ->> 'organization', row ->> 'id', row ->> 'type', substr(?, 32 * place + 1, 32), row ->> 'at',
  row ->> 'unwanted_at', row ->> 'attributes', coalesce(substr(?, row ->> 'from', row ->> 'len'), x'')
FROM j WHERE true
ON CONFLICT (organization, id) DO NOTHING";

    /// Which row each event has, by its place, and whether it is the same event.
    events_named: "\
SELECT j.key AS place, e.pk, e.digest = substr(?, 32 * j.key + 1, 32) AS is_same
FROM json_each(?) j CROSS JOIN {p}events e
  ON e.organization = j.value ->> 'organization' AND e.id = j.value ->> 'id'";

    insert_deliveries: &insert_deliveries("value ->> 'event'", "");

    /// Right after events were inserted: `event` is the place of each among them, and the second argument how many they were.
    insert_new_deliveries: &insert_deliveries(
        "last_insert_rowid() - changes() + (value ->> 'event')", "WHERE changes() = ?"
    );

    /// Goes from subscription to subscription by one seek each, whatever lies between; from ?1, exclusive, to ?2.
    look: "\
WITH RECURSIVE hop (subscription) AS (
  SELECT min(subscription) FROM {p}deliveries WHERE due_at IS NOT NULL AND subscription > ?1 AND subscription <= ?2
  UNION ALL
  SELECT (SELECT min(d.subscription) FROM {p}deliveries d
    WHERE d.due_at IS NOT NULL AND d.subscription > hop.subscription AND d.subscription <= ?2)
  FROM hop WHERE hop.subscription IS NOT NULL)
SELECT s.id, max(s.paused_until,
  (SELECT min(d.due_at) FROM {p}deliveries d WHERE d.subscription = s.id AND d.due_at IS NOT NULL)) AS ready_at
FROM hop CROSS JOIN {p}subscriptions s ON s.id = hop.subscription
WHERE s.status = 'enabled'";

    subscriptions_of_claim: "\
SELECT * FROM {p}subscriptions
WHERE id IN (SELECT unhex(value) FROM json_each(?)) AND status = 'enabled' AND paused_until <= ?";

    events: "SELECT pk, id, type, payload FROM {p}events WHERE pk IN (SELECT value FROM json_each(?))";

    extend: "\
UPDATE {p}deliveries AS d SET due_at = ?2
FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS lease FROM json_each(?1)) AS x
WHERE d.id = x.id AND d.lease = x.lease AND d.state = 'pending'
RETURNING id, lease";

    /// Of what is named, what is still leased so, in one row: places there, subscriptions and ordering keys.
    settling: "\
SELECT json_group_array(json_array(j.key, hex(d.subscription), d.ordering_key))
FROM jsonb_each(?) j CROSS JOIN {p}deliveries d ON d.id = unhex(j.value ->> 'id')
WHERE d.lease = j.value ->> 'lease' AND d.state = 'pending'";

    settle: "\
UPDATE {p}deliveries AS d
SET lease = d.lease + 1, state = s.state, due_at = s.due_at, finished_at = s.finished_at,
  attempts = min(max(d.attempts, 0), 4294967294) + s.tried,
  first_attempt_at = coalesce(d.first_attempt_at, s.started_at)
FROM (
  SELECT unhex(value ->> 'id') AS id, value ->> 'lease' AS lease, value ->> 'state' AS state,
    value ->> 'due_at' AS due_at, value ->> 'finished_at' AS finished_at, value ->> 'tried' AS tried,
    value ->> 'started_at' AS started_at
  FROM jsonb_each(?)) AS s
WHERE d.id = s.id AND d.lease = s.lease AND d.state = 'pending'";

    /// Tells when leases end, and names deliveries and their new leases.
    lease: "\
UPDATE {p}deliveries AS d SET lease = l.lease, was_due_at = d.due_at, due_at = ?
FROM (SELECT unhex(value ->> 'id') AS id, value ->> 'lease' AS lease FROM jsonb_each(?)) AS l
WHERE d.id = l.id";

    /// Only a subscription that is enabled is disabled, and only a longer pause is written.
    settle_subscriptions: "\
UPDATE {p}subscriptions AS s
SET paused_until = max(s.paused_until, coalesce(c.paused_until, s.paused_until)),
  status = iif(s.status = 'enabled', coalesce(c.status, s.status), s.status),
  disabled_at = iif(s.status = 'enabled', c.disabled_at, s.disabled_at)
FROM (
  SELECT unhex(value ->> 'id') AS id, value ->> 'paused_until' AS paused_until, value ->> 'status' AS status,
    value ->> 'disabled_at' AS disabled_at
  FROM json_each(?1)) AS c
WHERE s.id = c.id";

    /// The first of each key is due, where it was not; ?1 names subscriptions and keys of which a delivery ended.
    next_of_keys: "\
UPDATE {p}deliveries AS d SET due_at = n.at
FROM (
  SELECT value ->> 2 AS at, (
    SELECT o.id FROM {p}deliveries o
    WHERE o.subscription = unhex(value ->> 0) AND o.ordering_key = value ->> 1 AND o.state = 'pending'
    ORDER BY o.place LIMIT 1) AS id
  FROM json_each(?1)) AS n
WHERE d.id = n.id AND d.due_at IS NULL AND d.state = 'pending'";

    cancel: "\
UPDATE {p}deliveries SET state = 'cancelled', due_at = NULL, finished_at = ?2
WHERE id = ?1 AND state = 'pending'
RETURNING subscription, ordering_key";

    expunge: "\
UPDATE {p}events SET payload = NULL, attributes = NULL WHERE organization = ?1 AND id = ?2 RETURNING pk";

    cancel_of_event: "\
UPDATE {p}deliveries SET state = 'cancelled', due_at = NULL, finished_at = ?2
WHERE event = ?1 AND state = 'pending'
RETURNING subscription, ordering_key";

    replay_one: "\
SELECT d.event, d.subscription, d.ordering_key FROM {p}deliveries d
WHERE d.id = ?1
  AND EXISTS (SELECT 1 FROM {p}subscriptions s WHERE s.id = d.subscription)
  AND EXISTS (SELECT 1 FROM {p}events e WHERE e.pk = d.event AND e.payload IS NOT NULL)
  AND NOT EXISTS (SELECT 1 FROM {p}deliveries o
    WHERE o.event = d.event AND o.subscription = d.subscription AND o.state = 'pending')";

    /// ?3 is a state to leave out, ?5 the time by which they ended. The second line is what the index says of its rows.
    replay_many: "\
SELECT d.event, d.subscription, d.ordering_key FROM {p}deliveries d
WHERE d.subscription = ?1 AND d.state IN ('exhausted', 'refused', 'gone', 'cancelled')
  AND d.state <> 'delivered' AND d.state <> 'pending' AND d.state <> 'replayed' AND d.state <> 'discarded'
  AND d.created_at >= ?2 AND d.state <> ?3 AND d.finished_at <= ?5
  AND EXISTS (SELECT 1 FROM {p}subscriptions s WHERE s.id = d.subscription)
  AND EXISTS (SELECT 1 FROM {p}events e WHERE e.pk = d.event AND e.payload IS NOT NULL)
  AND NOT EXISTS (SELECT 1 FROM {p}deliveries o
    WHERE o.event = d.event AND o.subscription = d.subscription AND o.state = 'pending')
ORDER BY d.created_at, d.id LIMIT ?4";

    mark_replayed: "\
UPDATE {p}deliveries SET state = 'replayed'
WHERE event IN (SELECT value FROM json_each(?1)) AND subscription = ?2
  AND state IN ('exhausted', 'refused', 'gone', 'cancelled')";

    finished_with_attempts: "\
SELECT id, event FROM {p}deliveries WHERE pruned IN (0, 2) AND finished_at <= ?1 LIMIT ?2";

    finished_with_payload: "\
SELECT id, event FROM {p}deliveries WHERE pruned IN (0, 1) AND finished_at <= ?1 LIMIT ?2";

    finished: "\
SELECT id, event FROM {p}deliveries WHERE pruned IN (0, 1, 2, 3) AND finished_at <= ?1 LIMIT ?2";

    prune_attempts: "\
DELETE FROM {p}attempts WHERE pk IN (
  SELECT a.pk FROM json_each(?1) j CROSS JOIN {p}attempts a ON a.delivery = unhex(j.value) LIMIT ?2)";

    mark_without_attempts: "\
UPDATE {p}deliveries SET pruned = pruned | 1
WHERE id IN (SELECT unhex(value) FROM json_each(?1))
  AND NOT EXISTS (SELECT 1 FROM {p}attempts a WHERE a.delivery = {p}deliveries.id)";

    /// An event whose last delivery did not end by ?2 is seen to when that one is.
    prune_payloads: "\
UPDATE {p}events SET payload = NULL, attributes = NULL
WHERE pk IN (SELECT value FROM json_each(?1)) AND payload IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM {p}deliveries d
    WHERE d.event = {p}events.pk AND (d.finished_at IS NULL OR d.finished_at > ?2))";

    mark_payload_seen_to: "\
UPDATE {p}deliveries SET pruned = pruned | 2 WHERE id IN (SELECT unhex(value) FROM json_each(?1))";

    prune_unwanted_payloads: "\
UPDATE {p}events SET payload = NULL, attributes = NULL WHERE pk IN (
  SELECT pk FROM {p}events WHERE unwanted_at <= ?1 AND payload IS NOT NULL LIMIT ?2)";

    prune_deliveries: "\
DELETE FROM {p}deliveries
WHERE id IN (SELECT unhex(value) FROM json_each(?1))
  AND NOT EXISTS (SELECT 1 FROM {p}attempts a WHERE a.delivery = {p}deliveries.id)";

    prune_events: "\
DELETE FROM {p}events
WHERE pk IN (SELECT value FROM json_each(?1))
  AND NOT EXISTS (SELECT 1 FROM {p}deliveries d WHERE d.event = {p}events.pk)";

    prune_unwanted_events: "\
DELETE FROM {p}events WHERE pk IN (SELECT pk FROM {p}events WHERE unwanted_at <= ?1 LIMIT ?2)";

    log_attempts: &insert_attempts("");

    /// Of leases that still hold: before the deliveries are settled.
    insert_attempts: &insert_attempts("WHERE d.lease = row ->> 'lease' AND d.state = 'pending'");

    delivery: &deliveries("d.id = ?1");

    deliveries: &deliveries(&format!("{OF_SUBSCRIPTION} ORDER BY d.id DESC LIMIT ?4"));

    /// Where what is looked through for a page ends. The same of dead ones, below.
    floor: "\
SELECT d.id FROM {p}deliveries d INDEXED BY {p}deliveries_subscription
WHERE d.subscription = ?1 AND d.id >= ?2 AND d.id < ?3 ORDER BY d.id DESC LIMIT 1 OFFSET ?4";

    floor_of_dead: &format!("\
SELECT d.id FROM {{p}}deliveries d INDEXED BY {{p}}deliveries_letters
WHERE {OF_SUBSCRIPTION} AND d.state = ?5 AND {DEAD} ORDER BY d.id DESC LIMIT 1 OFFSET ?4");

    /// ?5 is a state and ?6 a type, each of which may be empty.
    deliveries_that: &deliveries(&format!(
        "{OF_SUBSCRIPTION} AND (?5 IS NULL OR d.state = ?5) AND (?6 IS NULL OR e.type = ?6) ORDER BY d.id DESC LIMIT ?4"
    ));

    dead_deliveries_that: &deliveries_by("INDEXED BY {p}deliveries_letters", &format!(
        "{OF_SUBSCRIPTION} AND d.state = ?5 AND {DEAD} AND (?6 IS NULL OR e.type = ?6) ORDER BY d.id DESC LIMIT ?4"
    ));

    ids_of_organization: "SELECT id FROM {p}subscriptions WHERE organization = ?1";

    discard: "\
UPDATE {p}deliveries SET state = 'discarded', note = ?3
WHERE id = ?2 AND state IN ('exhausted', 'refused', 'gone')
  AND EXISTS (SELECT 1 FROM {p}events e WHERE e.pk = event AND e.organization = ?1)";

    add_test_event: "\
INSERT INTO {p}events (organization, id, type, digest, created_at, attributes, payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
RETURNING pk";

    add_test_delivery: "\
INSERT INTO {p}deliveries
  (id, event, subscription, state, attempts, first_attempt_at, created_at, finished_at, note, is_test)
VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6, ?6, ?7, 1)";

    event: "SELECT id, type, created_at, attributes, payload FROM {p}events WHERE organization = ?1 AND id = ?2";

    list_events: "\
SELECT pk, id, type, created_at, attributes, NULL AS payload FROM {p}events
WHERE organization = ?1 AND pk < ?2 ORDER BY pk DESC LIMIT ?3";

    deliveries_of_event: &deliveries(
        "d.event = (SELECT pk FROM {p}events WHERE organization = ?1 AND id = ?2)
  AND (d.subscription, d.id) > (?3, ?4) ORDER BY d.subscription, d.id LIMIT ?5"
    );

    /// ?5 and ?6 are the period's begin and end, ?7 the length of a slot.
    counts_of_period: &attempts_of_period("\
SELECT (started_at - ?5) / ?7 AS slot, status, error, count(*) AS attempts FROM a GROUP BY 1, 2, 3");

    latency_of_period: &attempts_of_period("\
SELECT max(duration) FILTER (WHERE place = (50 * total + 99) / 100) AS median,
  max(duration) FILTER (WHERE place = (95 * total + 99) / 100) AS p95,
  max(duration) FILTER (WHERE place = (99 * total + 99) / 100) AS p99, max(duration) AS longest
FROM (SELECT duration, row_number() OVER (ORDER BY duration) AS place, count(*) OVER () AS total
  FROM a WHERE status IS NOT NULL)");

    /// What waits behind another of its key has no due time.
    backlog: "\
SELECT count(*) AS pending, min(created_at) AS oldest FROM (
  SELECT created_at FROM (
    SELECT created_at FROM {p}deliveries WHERE subscription = ?1 AND due_at IS NOT NULL ORDER BY due_at LIMIT ?2)
  UNION ALL SELECT created_at FROM (
    SELECT created_at FROM {p}deliveries
    WHERE subscription = ?1 AND ordering_key IS NOT NULL AND state = 'pending' AND due_at IS NULL LIMIT ?2)
  LIMIT ?2)";

    attempts: "SELECT * FROM {p}attempts WHERE delivery = ?1 ORDER BY number, pk";

    /// A number given on first sight is the caller's time, so that it is greater than any before the event was pruned.
    reserve: "\
INSERT INTO {p}inbox (source, id, lease, lease_until, keep_until) VALUES (?1, ?2, max(?3, 1), ?4, ?5)
ON CONFLICT (source, id) DO UPDATE
SET lease = max(lease + 1, excluded.lease), lease_until = excluded.lease_until, committed = 0,
  keep_until = excluded.keep_until
WHERE CASE WHEN committed THEN keep_until ELSE lease_until END <= ?3
RETURNING lease";

    is_committed: "SELECT committed FROM {p}inbox WHERE source = ?1 AND id = ?2";

    commit: "\
UPDATE {p}inbox SET committed = 1, keep_until = ?4 WHERE source = ?1 AND id = ?2 AND lease = ?3";

    /// The row stays, so that the number given next is greater.
    release: "\
UPDATE {p}inbox SET lease = lease + 1, lease_until = -9223372036854775808
WHERE source = ?1 AND id = ?2 AND lease = ?3 AND committed = 0";

    prune: "\
DELETE FROM {p}inbox WHERE (source, id) IN (
  SELECT source, id FROM {p}inbox WHERE keep_until <= ?1 ORDER BY keep_until LIMIT ?2)";

    /// One that is done and remembered for long enough is new again.
    keep_request: "\
INSERT INTO {p}intake (source, id, queue, event, proof, received_at, signed_at, due_at, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?6, ?8)
ON CONFLICT (source, id) DO UPDATE
SET queue = excluded.queue, event = excluded.event, proof = excluded.proof, received_at = excluded.received_at,
  signed_at = excluded.signed_at, attempts = 0, due_at = excluded.due_at, first_attempt_at = NULL, keep_until = NULL,
  reason = '', body = excluded.body
WHERE keep_until <= excluded.received_at";

    next_due_request: "SELECT min(due_at) FROM {p}intake WHERE queue = ?1 AND due_at IS NOT NULL";

    /// The number of a first lease is the time, so that it is greater than any before the request was forgotten.
    take_requests: "\
UPDATE {p}intake
SET lease = max(lease + 1, ?2, 1), was_due_at = due_at,
  attempts = iif(attempts < ?5, attempts + 1, attempts),
  due_at = iif(attempts < ?5, ?3, NULL),
  given_up_at = iif(attempts < ?5, NULL, ?2),
  reason = CASE WHEN attempts < ?5 THEN reason WHEN reason = '' THEN ?6 ELSE ?6 || '; before that: ' || reason END,
  first_attempt_at = coalesce(first_attempt_at, ?2)
WHERE pk IN (SELECT pk FROM {p}intake WHERE queue = ?1 AND due_at <= ?2 ORDER BY due_at, pk LIMIT ?4)
RETURNING *";

    extend_requests: "\
WITH j AS MATERIALIZED (SELECT value AS row FROM json_each(?1))
UPDATE {p}intake AS i SET due_at = ?2
FROM j
WHERE i.source = j.row ->> 0 AND i.id = j.row ->> 1 AND i.lease = j.row ->> 2 AND i.due_at IS NOT NULL
RETURNING source, id, lease";

    settle_requests: "\
WITH j AS MATERIALIZED (SELECT value AS row FROM json_each(?1))
UPDATE {p}intake AS i
SET lease = i.lease + 1, due_at = row ->> 'due_at', given_up_at = row ->> 'given_up_at', keep_until = row ->> 'keep_until',
  attempts = iif(row ->> 'tried', i.attempts, max(i.attempts - 1, 0)),
  first_attempt_at = iif(row ->> 'tried' OR i.attempts > 1, i.first_attempt_at, NULL),
  reason = CASE WHEN row ->> 'keep_until' IS NOT NULL THEN '' ELSE coalesce(row ->> 'reason', i.reason) END,
  body = iif(row ->> 'keep_until' IS NULL, i.body, NULL)
FROM j
WHERE i.source = row ->> 'source' AND i.id = row ->> 'id' AND i.lease = row ->> 'lease' AND i.due_at IS NOT NULL
RETURNING source, id, lease";

    given_up_requests: "\
SELECT * FROM {p}intake WHERE queue = ?1 AND given_up_at IS NOT NULL AND (source, id) > (?2, ?3)
ORDER BY source, id LIMIT ?4";

    put_back_request: "\
UPDATE {p}intake SET due_at = ?3, given_up_at = NULL, attempts = 0, first_attempt_at = NULL, reason = ''
WHERE source = ?1 AND id = ?2 AND given_up_at IS NOT NULL";

    close_request: "\
UPDATE {p}intake SET keep_until = ?3, given_up_at = NULL, reason = '', body = NULL
WHERE source = ?1 AND id = ?2 AND given_up_at IS NOT NULL";

    prune_requests: "\
DELETE FROM {p}intake WHERE pk IN (
  SELECT pk FROM {p}intake WHERE keep_until <= ?1 ORDER BY keep_until LIMIT ?2)";

    due_of_one: &due(1);

    due_of_few: &due(FEW_SHARES);

    due_of_some: &due(SOME_SHARES);

    due_of_many: &due(MAX_SHARES);
}

impl Statements {
    /// The statement that finds what is due of at least this many shares, and how many it takes: the rest is to be left empty.
    ///
    /// SQLite cannot join each share with a limited query of its own; so each share has its query in the text, and a few
    /// sizes keep the number of texts small.
    pub(super) fn due(&self, shares: usize) -> (usize, SqlStr) {
        let sizes = [
            (1, &self.due_of_one),
            (FEW_SHARES, &self.due_of_few),
            (SOME_SHARES, &self.due_of_some),
            (MAX_SHARES, &self.due_of_many),
        ];
        let (size, sql) =
            sizes.into_iter().find(|(size, _)| *size >= shares).unwrap_or(sizes[sizes.len() - 1]);
        (size, sql.clone())
    }
}

/// `rank` counts those of the same batch, subscription and key before it, which the table does not show yet.
fn insert_deliveries(event: &str, condition: &str) -> String {
    format!(
        "\
WITH n AS MATERIALIZED (
  SELECT unhex(value ->> 'id') AS id, {event} AS event, unhex(value ->> 'subscription') AS subscription,
    value ->> 'key' AS key, value ->> 'rank' AS rank, value ->> 'at' AS at,
    EXISTS (SELECT 1 FROM {{p}}subscriptions s WHERE s.id = unhex(value ->> 'subscription')) AS is_wanted
  FROM jsonb_each(?) {condition})
INSERT INTO {{p}}deliveries
  (id, event, subscription, state, due_at, created_at, finished_at, ordering_key, place)
SELECT n.id, n.event, n.subscription, iif(n.is_wanted, 'pending', 'cancelled'),
  CASE WHEN n.is_wanted AND (n.key IS NULL OR n.rank = 0 AND NOT EXISTS (
    SELECT 1 FROM {{p}}deliveries o
    WHERE o.subscription = n.subscription AND o.ordering_key = n.key AND o.state = 'pending')) THEN n.at END,
  n.at, iif(n.is_wanted, NULL, n.at), n.key,
  CASE WHEN n.key IS NOT NULL THEN n.rank + 1 + coalesce((
    SELECT max(o.place) FROM {{p}}deliveries o
    WHERE o.subscription = n.subscription AND o.ordering_key = n.key AND o.state = 'pending'), 0) END
FROM n"
    )
}

fn insert_attempts(condition: &str) -> String {
    format!(
        "\
WITH j AS MATERIALIZED (SELECT value AS row FROM jsonb_each(?))
INSERT INTO {{p}}attempts (delivery, number, started_at, duration, dns, connect, tls, first_byte, total, status,
  retry_after, error, excerpt)
SELECT d.id, row ->> 'number', row ->> 'started_at', row ->> 'duration', row ->> 'dns',
  row ->> 'connect', row ->> 'tls', row ->> 'first_byte', row ->> 'total', row ->> 'status',
  row ->> 'retry_after', row ->> 'error', row ->> 'excerpt'
FROM j CROSS JOIN {{p}}deliveries d ON d.id = unhex(row ->> 'delivery') {condition}"
    )
}

/// Bound are the time; then for each share its subscription, where to begin, the time again, and its limit. All in one row: each row
/// of an answer is handed over by itself.
fn due(shares: usize) -> String {
    let queue = "SELECT id FROM (SELECT id FROM {p}deliveries WHERE subscription = ? AND due_at >= ? AND due_at <= ? \
                 ORDER BY due_at, id LIMIT ?)";
    format!(
        "SELECT json_group_array(json_object('id', hex(d.id), 'event', d.event, 'subscription', hex(d.subscription), \
         'lease', iif(d.lease BETWEEN 0 AND 4611686018427387903, d.lease + 1, max(?, 1)), 'attempts', d.attempts, \
         'first_attempt_at', d.first_attempt_at, 'was_due_at', d.due_at, 'is_ordered', d.ordering_key IS NOT NULL)) \
         FROM ({}) AS q CROSS JOIN {{p}}deliveries d ON d.id = q.id",
        vec![queue; shares].join(" UNION ALL ")
    )
}

/// Deliveries that a condition, with order and limit, says.
fn deliveries(condition: &str) -> String {
    deliveries_by("", condition)
}

fn deliveries_by(index: &str, condition: &str) -> String {
    format!(
        "SELECT d.*, e.id AS event_id, e.type, e.organization FROM {{p}}deliveries d {index} \
         LEFT JOIN {{p}}events e ON e.pk = d.event WHERE {condition}"
    )
}

/// ?1 is the subscription, ?2 and ?3 are the ids from and before which its deliveries are looked at, ?4 is how many.
fn attempts_of_period(told: &str) -> String {
    format!(
        "WITH d AS MATERIALIZED (
  SELECT id, is_test FROM {{p}}deliveries WHERE subscription = ?1 AND id >= ?2 AND id < ?3 ORDER BY id DESC LIMIT ?4),
a AS MATERIALIZED (
  SELECT a.started_at, a.duration, a.status, a.error FROM d CROSS JOIN {{p}}attempts a ON a.delivery = d.id
  WHERE d.is_test IS NULL AND a.started_at >= ?5 AND a.started_at < ?6)
{told}"
    )
}

/// What the index of the dead says of its rows.
const DEAD: &str = "d.state <> 'delivered' AND d.state <> 'pending'";

/// Of which subscription, and the ids from and before which.
const OF_SUBSCRIPTION: &str = "d.subscription = ?1 AND d.id >= ?2 AND d.id < ?3";

/// For how many shares there is a statement; more take several.
const FEW_SHARES: usize = 4;
const SOME_SHARES: usize = 16;
pub(super) const MAX_SHARES: usize = 64;

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _, SqliteConnection};

    use super::*;
    use crate::store::sqlite::schema;

    #[tokio::test]
    async fn no_statement_of_the_queue_scans_a_table() {
        let prefix = schema::parse_prefix("hookwire_").unwrap();
        let mut connection = SqliteConnectOptions::new().connect().await.unwrap();
        schema::migrate(&mut connection, &prefix).await.unwrap();
        let sql = Statements::new(&prefix);
        for shares in [1, FEW_SHARES, SOME_SHARES, MAX_SHARES] {
            let claim = plan(&mut connection, &sql.due(shares).1).await;
            let queue = "SEARCH hookwire_deliveries USING COVERING INDEX hookwire_deliveries_due \
                         (subscription=? AND due_at>? AND due_at<?)";
            assert_eq!(claim.matches(queue).count(), shares, "{claim}");
            assert!(claim.contains("SEARCH d USING PRIMARY KEY (id=?)"), "{claim}");
            assert!(is_seeking(&claim), "{claim}");
        }
        let look = plan(&mut connection, &sql.look).await;
        let hops = "USING COVERING INDEX hookwire_deliveries_due (subscription>? AND subscription<?)";
        assert_eq!(look.matches(hops).count(), 2, "{look}");
        assert!(look.contains("USING COVERING INDEX hookwire_deliveries_due (subscription=?"), "{look}");
        assert!(look.contains("CO-ROUTINE hop"), "it does not stop when enough were seen: {look}");
        let settle = plan(&mut connection, &sql.settle).await;
        assert!(settle.contains("SEARCH d USING PRIMARY KEY"), "{settle}");
        let next = plan(&mut connection, &sql.next_of_keys).await;
        assert!(next.contains("deliveries_order (subscription=? AND ordering_key=?)"), "{next}");
        let waiting = plan(&mut connection, &sql.cancel_waiting_of_subscription).await;
        assert!(waiting.contains("deliveries_order (subscription=?"), "{waiting}");
        let due = plan(&mut connection, &sql.cancel_due_of_subscription).await;
        assert!(due.contains("deliveries_due (subscription=?"), "{due}");
        let dead = plan(&mut connection, &sql.replay_many).await;
        assert!(dead.contains("deliveries_dead (subscription=? AND created_at>?)"), "{dead}");
        for finished in [&sql.finished, &sql.finished_with_attempts, &sql.finished_with_payload] {
            let finished = plan(&mut connection, finished).await;
            assert!(finished.contains("deliveries_finished (pruned=? AND finished_at<?)"), "{finished}");
        }
        for (list, index) in [
            (&sql.deliveries, "deliveries_subscription (subscription=? AND id>? AND id<?)"),
            (&sql.deliveries_that, "deliveries_subscription (subscription=? AND id>? AND id<?)"),
            (&sql.floor, "deliveries_subscription (subscription=? AND id>? AND id<?)"),
            (&sql.dead_deliveries_that, "deliveries_letters (subscription=? AND state=? AND id>? AND id<?)"),
            (&sql.floor_of_dead, "deliveries_letters (subscription=? AND state=? AND id>? AND id<?)"),
            (&sql.counts_of_period, "deliveries_subscription (subscription=? AND id>? AND id<?)"),
            (&sql.counts_of_period, "attempts_delivery (delivery=?)"),
            (&sql.backlog, "deliveries_due (subscription=? AND due_at>?)"),
            (&sql.backlog, "deliveries_order (subscription=? AND ordering_key>?)"),
            (&sql.list_events, "events_organization (organization=? AND pk<?)"),
            (
                &sql.list_subscriptions,
                "subscriptions_organization (organization=? AND (created_at,id)>(?,?))",
            ),
            (&sql.deliveries_of_event, "deliveries_event (event=? AND (subscription,id)>(?,?))"),
        ] {
            let plan = plan(&mut connection, list).await;
            assert!(plan.contains(index), "{plan}");
        }
        let all = [
            &sql.attempts,
            &sql.cancel,
            &sql.cancel_due_of_subscription,
            &sql.cancel_of_event,
            &sql.cancel_waiting_of_subscription,
            &sql.delete_subscription,
            &sql.add_subscription,
            &sql.dead_deliveries_that,
            &sql.deliveries,
            &sql.deliveries_of_event,
            &sql.deliveries_that,
            &sql.delivery,
            &sql.discard,
            &sql.event,
            &sql.floor,
            &sql.floor_of_dead,
            &sql.forget_secrets,
            &sql.hold_secret,
            &sql.holds_secret,
            &sql.ids_of_organization,
            &sql.list_events,
            &sql.list_subscriptions,
            &sql.events,
            &sql.expunge,
            &sql.extend,
            &sql.finished,
            &sql.finished_with_attempts,
            &sql.finished_with_payload,
            &sql.insert_attempts,
            &sql.insert_deliveries,
            &sql.insert_new_deliveries,
            &sql.log_attempts,
            &sql.look,
            &sql.mark_payload_seen_to,
            &sql.mark_replayed,
            &sql.mark_without_attempts,
            &sql.next_of_keys,
            &sql.prune,
            &sql.prune_attempts,
            &sql.prune_deliveries,
            &sql.prune_events,
            &sql.prune_payloads,
            &sql.prune_unwanted_events,
            &sql.prune_unwanted_payloads,
            &sql.put_health,
            &sql.replay_many,
            &sql.replay_one,
            &sql.events_named,
            &sql.insert_events,
            &sql.lease,
            &sql.settle,
            &sql.settling,
            &sql.settle_subscriptions,
            &sql.replace_subscription,
            &sql.subscription_ids,
            &sql.subscriptions,
            &sql.subscriptions_of_claim,
        ];
        for sql in all {
            let plan = plan(&mut connection, sql).await;
            assert!(is_seeking(&plan), "{sql:?}:\n{plan}");
        }
    }

    /// Whether a plan walks no table and sorts nothing; what was asked for, and hops, are walked by nature.
    fn is_seeking(plan: &str) -> bool {
        let scanned = plan.lines().find(|line| {
            let is_asked =
                line.contains("VIRTUAL TABLE") || ["SCAN j", "SCAN n", "SCAN q", "SCAN hop"].contains(line);
            line.starts_with("SCAN")
                && !is_asked
                && *line != "SCAN CONSTANT ROW"
                && !line.starts_with("SCAN (")
        });
        scanned.is_none() && !plan.contains("TEMP B-TREE")
    }

    async fn plan(connection: &mut SqliteConnection, sql: &SqlStr) -> String {
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", sql.as_str()));
        let rows = sqlx::query(explain).fetch_all(connection).await.unwrap();
        rows.iter().map(|row| row.get::<String, _>("detail") + "\n").collect()
    }
}
