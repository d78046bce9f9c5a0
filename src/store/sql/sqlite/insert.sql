-- Inserting events with their payloads and deliveries.
--
-- The statements of one insert run one after another in one message. Each statement that inserts rows, but
-- the first and `insert_cancelled`, gets the number of rows that the one before should have written, and does
-- nothing if `changes()` differs. If all events are new, their row numbers follow each other, so the number
-- of a row is known from its place. If some events exist already, the statements run again for the others
-- with their row numbers.

-- name: insert_events
-- Parameters: the columns of each event with the position of its payload, the digests, the payloads. `substr`
-- returns NULL where a payload has no bytes. An event is left out if its organization's subscriptions have
-- another edition than its own.
WITH j AS MATERIALIZED (SELECT key AS place, value AS row FROM jsonb_each(?))
INSERT INTO {p}events
  (organization, contract, id, version, type, digest, created_at, unwanted_at, attributes, trace, payload)
SELECT row ->> 'organization', row ->> 'contract', row ->> 'id', row ->> 'version', row ->> 'type',
  substr(?, 32 * place + 1, 32), row ->> 'at', row ->> 'unwanted_at', row ->> 'attributes', row ->> 'trace',
  coalesce(substr(?, row ->> 'from', row ->> 'len'), x'')
FROM j WHERE row ->> 'edition' IS NULL OR row ->> 'edition' = coalesce(
  (SELECT e.edition FROM {p}editions e WHERE e.organization = row ->> 'organization'), 0)
ON CONFLICT (organization, contract, id) DO NOTHING;

-- name: insert_payloads
-- Inserts the payloads of older versions. Parameters: the rows, the number of rows that the statement before
-- should have written or NULL, 0 if the rows have their events' row numbers or NULL if they have places, the
-- number of events, the digests, the bytes.
WITH j AS MATERIALIZED (SELECT value AS row FROM jsonb_each(?) WHERE coalesce(changes() = ?, true))
INSERT INTO {p}payloads (event, version, digest, bytes)
SELECT coalesce(?, last_insert_rowid() - ?) + (row ->> 'event'), row ->> 'version', substr(?, row ->> 'digest', 32),
  coalesce(substr(?, row ->> 'from', row ->> 'len'), x'')
FROM j;

-- name: insert_directory
-- Parameters: the first four of insert_payloads.
WITH j AS MATERIALIZED (SELECT value AS row FROM jsonb_each(?) WHERE coalesce(changes() = ?, true))
INSERT INTO {p}directory (subscription, id, event)
SELECT unhex(row ->> 'subscription'), unhex(row ->> 'id'), coalesce(?, last_insert_rowid() - ?) + (row ->> 'event')
FROM j;

-- name: insert_pending
-- Inserts pending deliveries. A delivery is leased if `until` is set, its subscription is enabled and not
-- paused, and it has no ordering key. Otherwise the number of the lease is used up all the same: the caller
-- may not hear the outcome, and hand back that lease. It is blocked if another one of its ordering key is
-- pending; `rank` counts those before it in this insert, which the table does not show yet. A delivery
-- without a subscription is left to the next statement. The id of a delivery that has ended becomes NULL,
-- which the table refuses. Parameters: those of insert_directory.
WITH n AS MATERIALIZED (
  SELECT unhex(row ->> 'id') AS id, unhex(row ->> 'subscription') AS subscription, row ->> 'event' AS place,
    row ->> 'version' AS version, row ->> 'key' AS key, row ->> 'rank' AS rank, row ->> 'at' AS at, row ->> 'until' AS until
  FROM (SELECT value AS row FROM jsonb_each(?) WHERE coalesce(changes() = ?, true)))
INSERT INTO {p}pending (id, subscription, event, lease, due_at, created_at, version, ordering_key, place)
SELECT iif(EXISTS (SELECT 1 FROM {p}history h WHERE h.id = n.id), NULL, n.id),
  n.subscription, coalesce(?, last_insert_rowid() - ?) + n.place,
  CASE WHEN n.is_leased THEN 1 WHEN n.until IS NULL OR n.key IS NOT NULL THEN 0 ELSE 2 END,
  CASE WHEN n.is_leased THEN n.until WHEN n.key IS NULL OR n.rank = 0 AND NOT EXISTS (
    SELECT 1 FROM {p}pending o WHERE o.subscription = n.subscription AND o.ordering_key = n.key) THEN n.at END,
  n.at, n.version, n.key,
  CASE WHEN n.key IS NOT NULL THEN n.rank + 1 + coalesce((
    SELECT max(o.place) FROM {p}pending o WHERE o.subscription = n.subscription AND o.ordering_key = n.key), 0) END
FROM (
  SELECT n.*, n.until IS NOT NULL AND n.key IS NULL AND s.status = 'enabled' AND s.paused_until <= n.at AS is_leased
  FROM n CROSS JOIN {p}subscriptions s ON s.id = n.subscription) AS n;

-- name: insert_cancelled
-- Inserts the deliveries whose subscription does not exist, as cancelled. Does nothing if the statement
-- before wrote all deliveries. The id of another delivery is refused, as before. Parameters: the number of
-- deliveries, the rows.
INSERT INTO {p}history (id, subscription, event, state, attempts, created_at, finished_at, version, ordering_key)
SELECT iif(EXISTS (SELECT 1 FROM {p}pending p WHERE p.id = l.id), NULL, l.id), l.subscription, l.event, 'cancelled', 0, row ->> 'at', row ->> 'at', row ->> 'version', row ->> 'key'
FROM (SELECT changes() <> ? AS is_needed) AS c CROSS JOIN (SELECT value AS row FROM jsonb_each(?)) AS j
CROSS JOIN {p}directory l ON l.subscription = unhex(row ->> 'subscription') AND l.id = unhex(row ->> 'id')
WHERE c.is_needed AND NOT EXISTS (SELECT 1 FROM {p}subscriptions s WHERE s.id = l.subscription)
  AND NOT EXISTS (SELECT 1 FROM {p}history h WHERE h.id = l.id AND h.subscription = l.subscription);

-- name: leased_by_insert
-- Returns, in one row, the deliveries among these that are leased for the first time.
SELECT json_group_array(hex(p.id)) FROM json_each(?) j CROSS JOIN {p}pending p ON p.id = unhex(j.value) WHERE p.lease = 1;

-- name: subscriptions_named
SELECT * FROM {p}subscriptions WHERE id IN (SELECT unhex(value) FROM json_each(?));

-- name: known_events
-- Returns the row number of each event by its place, the edition of its organization's subscriptions, and
-- whether the payloads are the same in every version that both have.
SELECT j.key AS place, e.pk,
  coalesce((SELECT n.edition FROM {p}editions n WHERE n.organization = e.organization), 0) AS edition, NOT EXISTS (
  SELECT 1 FROM json_each(j.value, '$.digests') v
  WHERE v.value ->> 0 = e.version AND unhex(v.value ->> 1) <> e.digest OR EXISTS (
    SELECT 1 FROM {p}payloads p
    WHERE p.event = e.pk AND p.version = v.value ->> 0 AND p.digest <> unhex(v.value ->> 1))) AS is_same
FROM json_each(?1) j CROSS JOIN {p}events e
  ON e.organization = j.value ->> 'organization' AND e.contract = j.value ->> 'contract' AND e.id = j.value ->> 'id';
