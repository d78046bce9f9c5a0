-- Making deliveries again.

-- name: replay_one
-- Finds the finished delivery ?1, unless its subscription or its payload was deleted, its event's type does
-- not exist in the version that the subscription speaks, or its event is pending there again. `has_bytes`
-- tells whether the event is stored in that version. If ?2 is 0, only a delivery whose event is not is found.
SELECT d.event, d.subscription, d.ordering_key, e.id, e.contract, s.version AS wanted, nullif(s.version, e.version) AS version,
  s.version = e.version OR EXISTS (
    SELECT 1 FROM {p}payloads p WHERE p.event = e.pk AND p.version = s.version AND p.bytes IS NOT NULL) AS has_bytes
FROM {p}history d CROSS JOIN {p}subscriptions s ON s.id = d.subscription
CROSS JOIN {p}events e ON e.pk = d.event AND e.payload IS NOT NULL
WHERE d.id = ?1 AND (?2 OR NOT has_bytes)
  AND NOT EXISTS (SELECT 1 FROM {p}payloads p WHERE p.event = e.pk AND p.version = s.version AND p.digest IS NULL)
  AND NOT EXISTS (
    SELECT 1 FROM {p}directory l CROSS JOIN {p}pending o ON o.id = l.id
    WHERE l.event = d.event AND l.subscription = d.subscription);

-- name: replay_many
-- Finds up to ?4 dead deliveries of the subscription ?1, oldest first, that were made from ?2 on, ended by
-- ?5, and are not in the state ?3. The rest is as in replay_one, with ?6 in place of its ?2. The second line
-- of conditions repeats the condition of the index, so that SQLite can use it.
SELECT d.event, d.subscription, d.ordering_key, e.id, e.contract, s.version AS wanted, nullif(s.version, e.version) AS version,
  s.version = e.version OR EXISTS (
    SELECT 1 FROM {p}payloads p WHERE p.event = e.pk AND p.version = s.version AND p.bytes IS NOT NULL) AS has_bytes
FROM {p}subscriptions s CROSS JOIN {p}history d ON d.subscription = s.id
CROSS JOIN {p}events e ON e.pk = d.event AND e.payload IS NOT NULL
WHERE s.id = ?1 AND d.state IN ('exhausted', 'refused', 'gone', 'expired', 'cancelled')
  AND d.state <> 'delivered' AND d.state <> 'replayed' AND d.state <> 'discarded'
  AND d.created_at >= ?2 AND d.state <> ?3 AND d.finished_at <= ?5 AND (?6 OR NOT has_bytes)
  AND NOT EXISTS (SELECT 1 FROM {p}payloads p WHERE p.event = e.pk AND p.version = s.version AND p.digest IS NULL)
  AND NOT EXISTS (
    SELECT 1 FROM {p}directory l CROSS JOIN {p}pending o ON o.id = l.id
    WHERE l.event = d.event AND l.subscription = d.subscription)
ORDER BY d.created_at, d.id LIMIT ?4;

-- name: add_payload
-- Stores the event ?3 of the organization ?1 and the contract ?2 in the version ?4, unless its payload was
-- deleted or it is stored in that version already.
INSERT INTO {p}payloads (event, version, digest, bytes)
SELECT e.pk, ?4, ?5, ?6 FROM {p}events e
WHERE e.organization = ?1 AND e.contract = ?2 AND e.id = ?3 AND e.version <> ?4 AND e.payload IS NOT NULL
ON CONFLICT (event, version) DO NOTHING;

-- name: mark_replayed
-- Marks the dead deliveries of the events ?1 to the subscription ?2 as replayed.
UPDATE {p}history SET state = 'replayed'
WHERE id IN (
    SELECT l.id FROM json_each(?1) j CROSS JOIN {p}directory l ON l.event = j.value AND l.subscription = ?2)
  AND state IN ('exhausted', 'refused', 'gone', 'expired', 'cancelled');

-- name: add_test_event
INSERT INTO {p}events (organization, contract, id, version, type, digest, created_at, attributes, payload)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) RETURNING pk;

-- name: add_test_delivery
-- A test is in the history from the beginning, with its one attempt.
INSERT INTO {p}history (id, subscription, event, version, state, attempts, created_at, finished_at, note, is_test,
  number, started_at, duration, dns, connect, tls, first_byte, total, status, retry_after, error, excerpt, reason, head_status)
VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?6, ?7, 1, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21);
