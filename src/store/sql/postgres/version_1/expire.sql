-- Finds up to p_limit deliveries whose wait began by p_before: those that a fault on this side keeps back
-- (kept), and those that are due while their subscription is disabled or paused (waiting).
CREATE FUNCTION {p}find_expired_1(p_now bigint, p_before bigint, p_limit bigint, OUT kept uuid[], OUT waiting uuid[])
LANGUAGE plpgsql AS $body$
BEGIN
  kept := ARRAY(
    SELECT d.id FROM {p}deliveries d WHERE d.kept_since <= p_before ORDER BY d.kept_since LIMIT p_limit);
  waiting := ARRAY(
    SELECT d.id FROM {p}subscriptions s CROSS JOIN (VALUES (false), (true)) AS k (is_retry) CROSS JOIN LATERAL (
      SELECT q.id FROM {p}deliveries q
      WHERE q.subscription = s.id AND q.is_retry = k.is_retry AND q.due_at <= p_before ORDER BY q.due_at LIMIT p_limit) AS d
    WHERE s.disabled_at <= p_before LIMIT p_limit - cardinality(kept));
  waiting := waiting || ARRAY(
    SELECT d.id FROM {p}subscriptions s CROSS JOIN (VALUES (false), (true)) AS k (is_retry) CROSS JOIN LATERAL (
      SELECT q.id FROM {p}deliveries q
      WHERE q.subscription = s.id AND q.is_retry = k.is_retry AND q.due_at <= p_before ORDER BY q.due_at LIMIT p_limit) AS d
    WHERE s.paused_since <= p_before AND s.paused_until > p_now AND s.disabled_at IS NULL
    LIMIT p_limit - cardinality(kept) - cardinality(waiting));
END
$body$;

-- Returns the order groups of these deliveries, each once.
CREATE FUNCTION {p}order_groups_1(p_ids uuid[]) RETURNS bigint[] LANGUAGE plpgsql AS $body$
BEGIN
  RETURN ARRAY(
    SELECT DISTINCT d.order_group FROM unnest(p_ids) AS u (id) JOIN {p}deliveries d ON d.id = ANY (ARRAY[u.id])
    WHERE d.order_group IS NOT NULL);
END
$body$;

-- Ends about p_limit deliveries whose wait began p_age ago or earlier, and returns how many. Those that were
-- blocked for as long behind a delivery that waits end with it. The next of its order group begins to wait
-- when it was made; the next behind one that was kept back is due now.
--
-- Locks are taken in the order of cancel_1. Rows that others have locked are left to another call.
CREATE FUNCTION {p}expire_1(p_now bigint, p_age bigint, p_limit bigint) RETURNS bigint LANGUAGE plpgsql AS $body$
DECLARE
  v_now bigint := {p}now_1(p_now);
  v_before bigint := v_now - p_age;
  v_found record;
  v_waiting bigint[];
  v_kept bigint[];
  v_count bigint;
BEGIN
  SELECT f.kept, f.waiting INTO v_found FROM {p}find_expired_1(v_now, v_before, p_limit) AS f;
  IF v_found.kept || v_found.waiting = '{}' THEN
    RETURN 0;
  END IF;
  v_waiting := {p}order_groups_1(v_found.waiting);
  v_kept := {p}order_groups_1(v_found.kept);
  PERFORM {p}lock_order_groups_1(v_waiting || v_kept);
  UPDATE {p}deliveries AS d SET state = 'expired', due_at = NULL, kept_since = NULL, finished_at = v_now
  WHERE d.id = ANY (ARRAY(
      SELECT o.id FROM {p}deliveries o WHERE o.id = ANY (v_found.kept || v_found.waiting)
        AND (o.due_at <= v_before OR o.kept_since <= v_before) FOR UPDATE SKIP LOCKED)
    || ARRAY(
      SELECT o.id FROM {p}deliveries o
      WHERE o.order_group = ANY (v_waiting) AND o.state = 'pending' AND o.due_at IS NULL AND o.created_at <= v_before
      FOR UPDATE SKIP LOCKED));
  GET DIAGNOSTICS v_count = ROW_COUNT;
  PERFORM {p}unblock_heads_1(array_agg(u.id), array_agg(least(v_now, greatest(h.created_at, v_before + 1))))
  FROM unnest(v_waiting) AS u (id) CROSS JOIN LATERAL (
    SELECT n.created_at FROM {p}deliveries n
    WHERE n.order_group = u.id AND n.state = 'pending' ORDER BY (n.lease = 0), n.seq LIMIT 1) AS h;
  PERFORM {p}unblock_heads_1(v_kept, array_fill(v_now, ARRAY[cardinality(v_kept)]));
  RETURN v_count;
END
$body$;

-- Returns up to p_limit subscriptions that were deleted and have a delivery that is due: it was inserted in a
-- transaction that was open meanwhile. One index seek per subscription that has pending deliveries.
CREATE FUNCTION {p}find_orphans_1(p_limit bigint) RETURNS uuid[] LANGUAGE plpgsql AS $body$
BEGIN
  RETURN ARRAY(
    WITH RECURSIVE hop AS (
      (SELECT d.subscription FROM {p}deliveries d WHERE d.due_at IS NOT NULL ORDER BY d.subscription, d.is_retry, d.due_at LIMIT 1)
      UNION ALL
      SELECT n.subscription FROM hop CROSS JOIN LATERAL (
        SELECT d.subscription FROM {p}deliveries d
        WHERE d.due_at IS NOT NULL AND d.subscription > hop.subscription ORDER BY d.subscription, d.is_retry, d.due_at LIMIT 1) AS n)
    SELECT h.subscription FROM hop h
    WHERE NOT EXISTS (SELECT 1 FROM {p}subscriptions s WHERE s.id = ANY (ARRAY[h.subscription])) LIMIT p_limit);
END
$body$;
