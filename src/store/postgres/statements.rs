//! Every statement, with the tables' schema and prefix in it, written once when the store is opened.

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

    subscription: "SELECT * FROM {p}subscriptions WHERE id = $1";

    subscriptions: "SELECT * FROM {p}subscriptions WHERE organization = $1 ORDER BY created_at, id";

    /// From $10 on what was seen.
    replace_subscription: "\
UPDATE {p}subscriptions AS s
SET organization = $2, url = $3, filter = $4, secrets = $5, status = $6, disabled_at = $7, options = $8, created_at = $9
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

    delivery: "\
SELECT d.*, e.id AS event_id, e.type FROM {p}deliveries d LEFT JOIN {p}events e ON e.pk = d.event WHERE d.id = $1";

    deliveries: "\
SELECT d.*, e.id AS event_id, e.type FROM {p}deliveries d LEFT JOIN {p}events e ON e.pk = d.event
WHERE d.subscription = $1 AND d.id <= $2 ORDER BY d.id DESC LIMIT $3";

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
