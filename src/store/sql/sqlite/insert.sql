-- Inserting events with their payloads and deliveries.
--
-- Each statement writes one row. Their parameters have no numbers, because several are sent together where
-- the driver runs them.

-- name: edition
SELECT edition FROM {p}editions WHERE organization = ?1;

-- name: insert_event
-- Writes nothing if the event exists.
INSERT INTO {p}events
  (organization, contract, id, version, type, digest, created_at, unwanted_at, attributes, trace, payload)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (organization, contract, id) DO NOTHING;

-- name: insert_payload
-- Inserts the payload of an older version.
INSERT INTO {p}payloads (event, version, digest, bytes) VALUES (?, ?, ?, ?);

-- name: insert_place
INSERT INTO {p}directory (subscription, id, event) VALUES (?, ?, ?);

-- name: insert_pending
-- Inserts a pending delivery, unless its subscription does not exist. It is blocked if another one of its
-- ordering key is pending. The id of a delivery that has ended becomes NULL, which the table refuses.
INSERT INTO {p}pending (id, subscription, event, lease, due_at, created_at, version, ordering_key, place)
SELECT iif(EXISTS (SELECT 1 FROM {p}history h WHERE h.id = n.id), NULL, n.id), n.subscription, n.event, n.lease,
  iif(n.key IS NULL OR NOT EXISTS (
    SELECT 1 FROM {p}pending o WHERE o.subscription = n.subscription AND o.ordering_key = n.key), n.due_at, NULL),
  n.at, n.version, n.key,
  iif(n.key IS NULL, NULL, 1 + coalesce((
    SELECT max(o.place) FROM {p}pending o WHERE o.subscription = n.subscription AND o.ordering_key = n.key), 0))
FROM (SELECT ? AS id, ? AS subscription, ? AS event, ? AS lease, ? AS due_at, ? AS at, ? AS version, ? AS key) AS n
CROSS JOIN {p}subscriptions s ON s.id = n.subscription;

-- name: insert_cancelled
-- Inserts a delivery whose subscription does not exist, as cancelled. The id of another delivery is refused.
INSERT INTO {p}history (id, subscription, event, state, attempts, created_at, finished_at, version, ordering_key)
SELECT iif(EXISTS (SELECT 1 FROM {p}pending p WHERE p.id = ?1), NULL, ?1), ?2, ?3, 'cancelled', 0, ?4, ?4, ?5, ?6;

-- name: known_event
-- Returns whether the payloads of a known event are the same in every version that both have; ?4 has the
-- versions with their digests in hex.
SELECT NOT EXISTS (
  SELECT 1 FROM json_each(?4) v
  WHERE v.value ->> 0 = e.version AND unhex(v.value ->> 1) <> e.digest OR EXISTS (
    SELECT 1 FROM {p}payloads p
    WHERE p.event = e.pk AND p.version = v.value ->> 0 AND p.digest <> unhex(v.value ->> 1))) AS is_same
FROM {p}events e WHERE e.organization = ?1 AND e.contract = ?2 AND e.id = ?3;
