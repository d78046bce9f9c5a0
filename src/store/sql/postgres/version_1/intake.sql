-- Stores requests, and returns the places (from 1) of those that were new. A request that is done and was
-- remembered for long enough is new again.
--
-- Requests come sorted by key, each key once, so that two batches that wait for each other's rows cannot
-- deadlock.
CREATE FUNCTION {p}store_requests_1(
  p_sources text[], p_ids text[], p_queues text[], p_events text[], p_proofs text[], p_now bigint[], p_received_at bigint[],
  p_signed_at bigint[], p_bodies bytea[]
) RETURNS bigint[] LANGUAGE plpgsql AS $body$
DECLARE
  v_now bigint;
  v_new bigint[] := '{}';
BEGIN
  FOR i IN 1 .. cardinality(p_ids) LOOP
    v_now := {p}now_1(p_now[i]);
    INSERT INTO {p}intake AS k (source, id, queue, event, proof, received_at, signed_at, due_at, body)
    VALUES (p_sources[i], p_ids[i], p_queues[i], p_events[i], p_proofs[i], p_received_at[i], p_signed_at[i], v_now,
      p_bodies[i])
    ON CONFLICT (source, id) DO UPDATE
    SET queue = excluded.queue, event = excluded.event, proof = excluded.proof, received_at = excluded.received_at,
      signed_at = excluded.signed_at, attempts = 0, due_at = excluded.due_at, first_attempt_at = NULL,
      keep_until = NULL, reason = '', body = excluded.body
    WHERE k.keep_until <= v_now;
    IF FOUND THEN
      v_new := v_new || i::bigint;
    END IF;
  END LOOP;
  RETURN v_new;
END
$body$;

-- Leases up to p_limit due requests of a queue, earliest first, and returns them. A request that was leased
-- p_most times already is given up instead, and returned without a due time. Rows that others have locked are
-- skipped.
--
-- The number of a first lease is the time, so it is greater than any that the request had before it was
-- forgotten.
CREATE FUNCTION {p}lease_requests_1(
  p_queue text, p_now bigint, p_lease bigint, p_limit bigint, p_most bigint, p_reason text
) RETURNS TABLE (
  pk bigint, source text, id text, event text, proof text, received_at bigint, signed_at bigint, lease bigint,
  attempts bigint, due_at bigint, was_due_at bigint, first_attempt_at bigint, body bytea
) LANGUAGE plpgsql AS $body$
#variable_conflict use_column
DECLARE
  v_now bigint := {p}now_1(p_now);
  v_until bigint := {p}later_1(v_now, p_lease);
  v_pks bigint[];
  v_due bigint[];
BEGIN
  SELECT array_agg(d.pk), array_agg(d.due_at) INTO v_pks, v_due FROM (
    SELECT k.pk, k.due_at FROM {p}intake k
    WHERE k.queue = p_queue AND k.due_at <= v_now ORDER BY k.due_at, k.pk LIMIT p_limit FOR UPDATE SKIP LOCKED) AS d;
  RETURN QUERY
  UPDATE {p}intake AS k
  SET lease = greatest(k.lease + 1, v_now, 1),
    attempts = CASE WHEN k.attempts < p_most THEN k.attempts + 1 ELSE k.attempts END,
    due_at = CASE WHEN k.attempts < p_most THEN v_until END,
    given_up_at = CASE WHEN k.attempts < p_most THEN NULL ELSE v_now END,
    reason = CASE WHEN k.attempts < p_most THEN k.reason WHEN k.reason = '' THEN p_reason
      ELSE p_reason || '; before that: ' || k.reason END,
    first_attempt_at = coalesce(k.first_attempt_at, v_now)
  FROM unnest(v_pks, v_due) AS u (pk, due_at)
  WHERE k.pk = ANY (ARRAY[u.pk])
  RETURNING k.pk, k.source, k.id, k.event, k.proof, k.received_at, k.signed_at, k.lease, k.attempts, k.due_at, u.due_at,
    k.first_attempt_at, k.body;
END
$body$;

-- Moves the end of leases of requests, and returns the places (from 1) of those that were still valid.
CREATE FUNCTION {p}extend_requests_1(p_sources text[], p_ids text[], p_leases bigint[], p_now bigint, p_lease bigint)
RETURNS bigint[] LANGUAGE plpgsql AS $body$
DECLARE
  v_until bigint := {p}later_1({p}now_1(p_now), p_lease);
  v_done bigint[];
BEGIN
  WITH done AS (
    UPDATE {p}intake AS k SET due_at = v_until
    FROM unnest(p_sources, p_ids, p_leases) WITH ORDINALITY AS u (source, id, lease, no)
    WHERE k.source = ANY (ARRAY[u.source]) AND k.id = ANY (ARRAY[u.id]) AND k.lease = u.lease AND k.due_at IS NOT NULL
    RETURNING u.no)
  SELECT coalesce(array_agg(done.no), '{}') INTO v_done FROM done;
  RETURN v_done;
END
$body$;

-- Writes what becomes of leased requests, and returns the places (from 1) of the settlements whose lease was
-- still valid. The others change nothing. Settling uses the lease up, so the same settlement again is stale.
CREATE FUNCTION {p}settle_requests_1(
  p_sources text[], p_ids text[], p_leases bigint[], p_now bigint[], p_nexts text[], p_after bigint[],
  p_reasons text[], p_tried boolean[]
) RETURNS bigint[] LANGUAGE plpgsql AS $body$
DECLARE
  v_now bigint := {p}now_1(NULL);
  v_done bigint[];
BEGIN
  WITH done AS (
    UPDATE {p}intake AS k
    SET lease = k.lease + 1,
      due_at = CASE WHEN u.next = 'retry' THEN {p}later_1(coalesce(u.now, v_now), u.after) END,
      given_up_at = CASE WHEN u.next = 'give_up' THEN coalesce(u.now, v_now) END,
      keep_until = CASE WHEN u.next = 'done' THEN {p}later_1(coalesce(u.now, v_now), u.after) END,
      attempts = CASE WHEN u.tried THEN k.attempts ELSE greatest(k.attempts - 1, 0) END,
      first_attempt_at = CASE WHEN u.tried OR k.attempts > 1 THEN k.first_attempt_at END,
      reason = CASE u.next WHEN 'done' THEN '' ELSE coalesce(u.reason, k.reason) END,
      body = CASE WHEN u.next <> 'done' THEN k.body END
    FROM unnest(p_sources, p_ids, p_leases, p_now, p_nexts, p_after, p_reasons, p_tried) WITH ORDINALITY
      AS u (source, id, lease, now, next, after, reason, tried, no)
    WHERE k.source = ANY (ARRAY[u.source]) AND k.id = ANY (ARRAY[u.id]) AND k.lease = u.lease AND k.due_at IS NOT NULL
    RETURNING u.no)
  SELECT coalesce(array_agg(done.no), '{}') INTO v_done FROM done;
  RETURN v_done;
END
$body$;
