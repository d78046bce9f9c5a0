-- Deleting old rows. The history is read in the order in which deliveries ended. `pruned` tells which parts
-- were handled already.

-- name: finished_with_attempts
SELECT id, subscription, event FROM {p}history WHERE pruned IN (0, 2) AND finished_at <= ?1 LIMIT ?2;

-- name: finished_with_payload
SELECT id, subscription, event FROM {p}history WHERE pruned IN (0, 1) AND finished_at <= ?1 LIMIT ?2;

-- name: finished
SELECT id, subscription, event FROM {p}history WHERE pruned IN (0, 1, 2, 3) AND finished_at <= ?1 LIMIT ?2;

-- name: prune_attempts
-- Deletes up to ?2 attempts of the deliveries ?1 from the table of attempts.
DELETE FROM {p}attempts WHERE pk IN (
  SELECT a.pk FROM json_each(?1) j CROSS JOIN {p}attempts a ON a.delivery = unhex(j.value) LIMIT ?2);

-- name: last_attempts
-- Counts the deliveries ?1 that have an attempt in their own row and no other one left.
SELECT count(*) AS attempts FROM {p}history h
WHERE h.id IN (SELECT unhex(value) FROM json_each(?1)) AND h.started_at IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM {p}attempts a WHERE a.delivery = h.id);

-- name: prune_last_attempts
-- Deletes the attempts in the rows of the deliveries ?1 that have no other one left, and marks the rows.
UPDATE {p}history SET pruned = pruned | 1, number = NULL, started_at = NULL, duration = NULL, dns = NULL, connect = NULL,
  tls = NULL, first_byte = NULL, total = NULL, status = NULL, retry_after = NULL, error = NULL, reason = NULL,
  head_status = NULL, excerpt = NULL
WHERE id IN (SELECT unhex(value) FROM json_each(?1))
  AND NOT EXISTS (SELECT 1 FROM {p}attempts a WHERE a.delivery = {p}history.id);

-- name: prune_payloads
-- Deletes the payloads of the events ?1. An event with a delivery that did not end by ?2 keeps its payload
-- until that one is old enough.
UPDATE {p}events SET payload = NULL, attributes = NULL
WHERE pk IN (SELECT value FROM json_each(?1)) AND payload IS NOT NULL
  AND NOT EXISTS (
    SELECT 1 FROM {p}directory l LEFT JOIN {p}history h ON h.id = l.id
    WHERE l.event = {p}events.pk AND (h.finished_at IS NULL OR h.finished_at > ?2));

-- name: prune_older_payloads
-- Deletes the older payloads of the events ?1 whose newest payload was deleted.
UPDATE {p}payloads SET bytes = NULL
WHERE event IN (SELECT value FROM json_each(?1)) AND bytes IS NOT NULL
  AND EXISTS (SELECT 1 FROM {p}events e WHERE e.pk = event AND e.payload IS NULL);

-- name: mark_payload_seen_to
UPDATE {p}history SET pruned = pruned | 2 WHERE id IN (SELECT unhex(value) FROM json_each(?1));

-- name: unwanted_payloads
SELECT pk FROM {p}events WHERE unwanted_at <= ?1 AND payload IS NOT NULL LIMIT ?2;

-- name: unwanted_events
SELECT pk FROM {p}events WHERE unwanted_at <= ?1 LIMIT ?2;

-- name: prune_history
-- Deletes the deliveries ?1 that have no attempt left in the table of attempts.
DELETE FROM {p}history
WHERE id IN (SELECT unhex(value) FROM json_each(?1))
  AND NOT EXISTS (SELECT 1 FROM {p}attempts a WHERE a.delivery = {p}history.id);

-- name: prune_directory
-- Deletes the deliveries ?1, given with their subscriptions, from the directory if they are no longer in the
-- history.
DELETE FROM {p}directory
WHERE (subscription, id) IN (SELECT unhex(value ->> 0), unhex(value ->> 1) FROM json_each(?1))
  AND NOT EXISTS (SELECT 1 FROM {p}history h WHERE h.id = {p}directory.id);

-- name: prune_events
-- Deletes the events ?1 that have no delivery left.
DELETE FROM {p}events
WHERE pk IN (SELECT value FROM json_each(?1)) AND NOT EXISTS (SELECT 1 FROM {p}directory l WHERE l.event = {p}events.pk);

-- name: prune_payload_rows
-- Deletes the older payloads of the events ?1 that were deleted.
DELETE FROM {p}payloads
WHERE event IN (SELECT value FROM json_each(?1)) AND NOT EXISTS (SELECT 1 FROM {p}events e WHERE e.pk = {p}payloads.event);
