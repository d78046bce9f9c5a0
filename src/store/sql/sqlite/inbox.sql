-- Reserving events, and storing requests before they are handled.

-- name: reserve
-- The number of a first lease is the caller's time, so it is greater than any that the event had before it
-- was pruned.
INSERT INTO {p}inbox (source, id, lease, lease_until, keep_until) VALUES (?1, ?2, max(?3, 1), ?4, ?5)
ON CONFLICT (source, id) DO UPDATE
SET lease = max(lease + 1, excluded.lease), lease_until = excluded.lease_until, committed = 0,
  keep_until = excluded.keep_until
WHERE CASE WHEN committed THEN keep_until ELSE lease_until END <= ?3
RETURNING lease;

-- name: is_committed
SELECT committed FROM {p}inbox WHERE source = ?1 AND id = ?2;

-- name: store_request
-- A request that is done and was remembered for long enough is new again.
INSERT INTO {p}intake (source, id, queue, event, proof, received_at, signed_at, due_at, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?6, ?8)
ON CONFLICT (source, id) DO UPDATE
SET queue = excluded.queue, event = excluded.event, proof = excluded.proof, received_at = excluded.received_at,
  signed_at = excluded.signed_at, attempts = 0, due_at = excluded.due_at, first_attempt_at = NULL, keep_until = NULL,
  reason = '', body = excluded.body
WHERE keep_until <= excluded.received_at;

-- name: copy_of_request
-- A request of the source ?1 with one of the ids ?2 that arrived after ?3.
SELECT pk FROM {p}intake WHERE source = ?1 AND id IN (SELECT value FROM json_each(?2)) AND received_at > ?3 LIMIT 1;

-- name: extend_requests
-- Moves the ends of the leases ?1 that are still the last to ?2, and returns them.
WITH j AS MATERIALIZED (SELECT value AS row FROM json_each(?1))
UPDATE {p}intake AS i SET due_at = ?2
FROM j
WHERE i.source = j.row ->> 0 AND i.id = j.row ->> 1 AND i.lease = j.row ->> 2 AND i.due_at IS NOT NULL
RETURNING source, id, lease;

-- name: settle_requests
-- Uses up the leases that still hold, writes what becomes of their requests, and returns the requests with
-- raised lease numbers.
WITH j AS MATERIALIZED (SELECT value AS row FROM json_each(?1))
UPDATE {p}intake AS i
SET lease = i.lease + 1, due_at = row ->> 'due_at', given_up_at = row ->> 'given_up_at', keep_until = row ->> 'keep_until',
  attempts = iif(row ->> 'tried', i.attempts, max(i.attempts - 1, 0)),
  first_attempt_at = iif(row ->> 'tried' OR i.attempts > 1, i.first_attempt_at, NULL),
  reason = CASE WHEN row ->> 'keep_until' IS NOT NULL THEN '' ELSE coalesce(row ->> 'reason', i.reason) END,
  body = iif(row ->> 'keep_until' IS NULL, i.body, NULL)
FROM j
WHERE i.source = row ->> 'source' AND i.id = row ->> 'id' AND i.lease = row ->> 'lease' AND i.due_at IS NOT NULL
RETURNING source, id, lease;

-- name: requests_ahead
-- Finds whether a request of the queue ?1 is due after ?2.
SELECT 1 FROM {p}intake WHERE queue = ?1 AND due_at > ?2 LIMIT 1;

-- name: mend_requests
-- Mends the times of requests of the queue ?2 that were written by a clock that was ahead: those after ?3. ?1
-- is the time. The number of a lease is the time when it began, or greater, and one more once it is used up.
-- A first attempt waits for nothing. A retry and a lease last again for as long as from the last attempt on.
UPDATE {p}intake AS i
SET due_at = ?1 + iif(i.attempts = 0, 0, max(i.due_at - w.written_at, 0))
FROM (
  SELECT pk, attempts, max(received_at, coalesce(first_attempt_at, 0), iif(lease <= due_at, lease - 1, 0)) AS written_at
  FROM {p}intake WHERE queue = ?2 AND due_at > ?3) AS w
WHERE i.pk = w.pk AND (w.attempts = 0 OR w.written_at > ?3);
