-- Requests that are stored before they are handled.

-- name: next_due_request
-- The microseconds until the first request of a queue is due, below zero for one that is late.
SELECT due_at - {now(?2)} AS wait FROM {p}intake WHERE queue = ?1 AND due_at IS NOT NULL ORDER BY due_at LIMIT 1;

-- name: waiting_requests
-- The number of the first ?3 requests that wait or are leased, and the microseconds since the oldest of them
-- arrived.
SELECT count(*) AS waiting, {now(?2)} - min(q.received_at) AS age
FROM (SELECT received_at FROM {p}intake WHERE queue = ?1 AND due_at IS NOT NULL ORDER BY due_at LIMIT ?3) AS q;

-- name: given_up_requests
SELECT * FROM {p}intake WHERE queue = ?1 AND given_up_at IS NOT NULL AND (source, id) > (?2, ?3)
ORDER BY source, id LIMIT ?4;

-- name: put_back_request
-- A request that was given up is due at once, with all of its attempts before it.
UPDATE {p}intake SET due_at = {now(?3)}, given_up_at = NULL, attempts = 0, first_attempt_at = NULL, reason = ''
WHERE source = ?1 AND id = ?2 AND given_up_at IS NOT NULL RETURNING pk;

-- name: close_request
-- A request that was given up is done, and remembered for ?4 microseconds.
UPDATE {p}intake SET keep_until = {later(?3, ?4)}, given_up_at = NULL, reason = '', body = NULL
WHERE source = ?1 AND id = ?2 AND given_up_at IS NOT NULL RETURNING pk;
