-- Ending deliveries without an attempt: cancelling them, expunging their event, deleting their subscription,
-- expiring them.

-- name: cancelling
-- The pending delivery of this id.
SELECT id FROM {p}pending WHERE id = ?1;

-- name: cancelling_of_event
-- The pending deliveries of an event.
SELECT p.id FROM {p}directory l CROSS JOIN {p}pending p ON p.id = l.id WHERE l.event = ?1;

-- name: cancelling_of_subscription
-- Finds pending deliveries of a subscription: up to ?2 that have a due time, and up to ?2 that have an
-- ordering key. A delivery without a due time is blocked by another one of its ordering key.
SELECT id FROM (SELECT id FROM {p}pending WHERE subscription = ?1 AND due_at IS NOT NULL LIMIT ?2)
UNION
SELECT id FROM (SELECT id FROM {p}pending WHERE subscription = ?1 AND ordering_key IS NOT NULL LIMIT ?2);

-- name: expiring_kept
-- Up to ?2 deliveries that a fault on this side has kept back since ?1 or longer.
SELECT id FROM {p}pending WHERE kept_since <= ?1 ORDER BY kept_since LIMIT ?2;

-- name: expiring_disabled
-- Up to ?2 deliveries that have been due since ?1 or longer, while their subscription was disabled.
SELECT d.id FROM {p}subscriptions s CROSS JOIN {p}pending d ON d.subscription = s.id AND d.is_retry IN (0, 1) AND d.due_at <= ?1
WHERE s.disabled_at <= ?1 LIMIT ?2;

-- name: expiring_paused
-- Up to ?2 deliveries that have been due since ?1 or longer, while their subscription was paused; it is
-- at ?3.
SELECT d.id FROM {p}subscriptions s CROSS JOIN {p}pending d ON d.subscription = s.id AND d.is_retry IN (0, 1) AND d.due_at <= ?1
WHERE s.paused_since <= ?1 AND s.paused_until > ?3 AND s.disabled_at IS NULL LIMIT ?2;

-- name: expiring_behind
-- The deliveries that have been blocked since ?2 or longer behind the deliveries ?1.
SELECT b.id FROM json_each(?1) j CROSS JOIN {p}pending d ON d.id = unhex(j.value)
CROSS JOIN {p}pending b ON b.subscription = d.subscription AND b.ordering_key = d.ordering_key
WHERE b.due_at IS NULL AND b.created_at <= ?2;

-- name: unblock_waiting
-- Makes the first delivery of the ordering key ?2 due since it was made, if it is blocked.
UPDATE {p}pending SET due_at = created_at
WHERE due_at IS NULL AND id = (
  SELECT o.id FROM {p}pending o WHERE o.subscription = ?1 AND o.ordering_key = ?2 ORDER BY o.place LIMIT 1);

-- name: append_dead
-- Writes the pending deliveries ?1 into the history; they end at ?2 in the state ?3.
INSERT INTO {p}history (id, subscription, event, state, attempts, created_at, finished_at, version, ordering_key)
SELECT d.id, d.subscription, d.event, ?3, d.attempts, d.created_at, ?2, d.version, d.ordering_key
FROM json_each(?1) j CROSS JOIN {p}pending d ON d.id = unhex(j.value);

-- name: remove_dead
DELETE FROM {p}pending WHERE id IN (SELECT unhex(value) FROM json_each(?1)) RETURNING subscription, ordering_key;

-- name: expunge
-- Deletes the newest payload of an event, whose row and digest stay.
UPDATE {p}events SET payload = NULL, attributes = NULL WHERE organization = ?1 AND contract = ?2 AND id = ?3 RETURNING pk;

-- name: expunge_older
UPDATE {p}payloads SET bytes = NULL WHERE event = ?1;

-- name: delete_subscription
DELETE FROM {p}subscriptions WHERE id = ?1;

-- name: forget_secrets
DELETE FROM {p}secrets WHERE subscription = ?1;

-- name: add_subscription
-- Writes nothing if the organization has ?13 subscriptions already.
INSERT INTO {p}subscriptions
  (id, organization, contract, version, url, filter, secrets, status, disabled_at, options, health, created_at)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12
WHERE (SELECT count(*) FROM (SELECT 1 FROM {p}subscriptions WHERE organization = ?2 LIMIT ?13)) < ?13;
