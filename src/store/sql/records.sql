-- Reading deliveries and events, and discarding dead letters. Lists first find the deliveries of a page in an
-- index, and then read their events.

-- name: deliveries
-- A page of a subscription's deliveries with ids from ?2 on and before ?3, newest first.
WITH f AS MATERIALIZED (
  SELECT * FROM {deliveries} WHERE subscription = ?1 AND id >= ?2 AND id < ?3 ORDER BY id DESC LIMIT ?4)
SELECT d.*, e.id AS event_id, e.type, e.organization, e.contract, e.version AS newest
FROM f AS d LEFT JOIN {p}events e ON e.pk = {seek(d.event)} ORDER BY d.id DESC;

-- name: deliveries_that
-- The deliveries in state ?5 and of event type ?6 (each may be NULL, for any) among at most ?7 that a page
-- reads.
WITH f AS MATERIALIZED (
  SELECT * FROM {deliveries} WHERE subscription = ?1 AND id >= ?2 AND id < ?3 ORDER BY id DESC LIMIT ?7)
SELECT d.*, e.id AS event_id, e.type, e.organization, e.contract, e.version AS newest
FROM f AS d LEFT JOIN {p}events e ON e.pk = {seek(d.event)}
WHERE (?5 IS NULL OR d.state = ?5) AND (?6 IS NULL OR e.type = ?6) ORDER BY d.id DESC LIMIT ?4;

-- name: floor
-- The id at which a page has read as many deliveries as it may; no row where there are fewer.
SELECT id FROM {deliveries} WHERE subscription = ?1 AND id >= ?2 AND id < ?3 ORDER BY id DESC LIMIT 1 OFFSET ?4;

-- name: deliveries_of_event
-- A page of an event's deliveries, in the order of their subscriptions.
WITH f AS MATERIALIZED (
  SELECT o.* FROM {deliveries} o
  WHERE o.event = (SELECT pk FROM {p}events WHERE organization = ?1 AND contract = ?2 AND id = ?3)
    AND (o.subscription, o.id) > (?4, ?5)
  ORDER BY o.subscription, o.id LIMIT ?6)
SELECT d.*, e.id AS event_id, e.type, e.organization, e.contract, e.version AS newest
FROM f AS d LEFT JOIN {p}events e ON e.pk = {seek(d.event)} ORDER BY d.subscription, d.id;

-- name: discard
-- Discards a dead letter of this organization, with a note.
UPDATE {finished} AS d SET state = 'discarded', note = ?3
WHERE d.id = ?2 AND d.state IN ('exhausted', 'refused', 'gone', 'expired')
  AND EXISTS (SELECT 1 FROM {p}events e WHERE e.pk = d.event AND e.organization = ?1)
RETURNING id;

-- name: event
SELECT id, contract, version, type, created_at, attributes, payload FROM {p}events
WHERE organization = ?1 AND contract = ?2 AND id = ?3;

-- name: events
-- A page of an organization's events without their payloads, the last inserted first.
SELECT pk, id, contract, version, type, created_at, attributes FROM {p}events
WHERE organization = ?1 AND pk < ?2 ORDER BY pk DESC LIMIT ?3;
