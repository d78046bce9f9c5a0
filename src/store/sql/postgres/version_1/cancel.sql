-- Cancels a pending delivery, also one that is being attempted. Returns 'done'; 'none' where there is no such
-- pending delivery; 'busy' where somebody else has locked its row, so that the caller has to call again.
--
-- The order group is locked before the row, and no row is waited for: a settlement locks its rows first and
-- then waits for their groups, so a call that waited for a row while it holds a group could deadlock with it.
CREATE FUNCTION {p}cancel_1(p_id uuid, p_now bigint) RETURNS text LANGUAGE plpgsql AS $body$
DECLARE
  v_now bigint := {p}now_1(p_now);
  v_group bigint;
BEGIN
  SELECT d.order_group INTO v_group FROM {p}deliveries d WHERE d.id = p_id AND d.state = 'pending';
  IF NOT FOUND THEN
    RETURN 'none';
  END IF;
  IF v_group IS NOT NULL THEN
    PERFORM {p}lock_order_groups_1(ARRAY[v_group]);
  END IF;
  UPDATE {p}deliveries AS d SET state = 'cancelled', due_at = NULL, kept_since = NULL, finished_at = v_now
  WHERE d.id = ANY (ARRAY(
    SELECT o.id FROM {p}deliveries o WHERE o.id = p_id AND o.state = 'pending' FOR UPDATE SKIP LOCKED));
  IF NOT FOUND THEN
    RETURN CASE WHEN EXISTS (SELECT 1 FROM {p}deliveries d WHERE d.id = p_id AND d.state = 'pending') THEN 'busy'
      ELSE 'none' END;
  END IF;
  IF v_group IS NOT NULL THEN
    PERFORM {p}unblock_heads_1(ARRAY[v_group], ARRAY[v_now]);
  END IF;
  RETURN 'done';
END
$body$;

-- Cancels up to p_limit of an event's pending deliveries, and deletes its payloads once none is left
-- (is_whole). It takes several calls, so that none needs more locks than the server has room for. ended is
-- how many it cancelled; rows that others have locked are left to the next call, as in cancel_1.
--
-- The event's row is locked, so nobody replays it meanwhile.
CREATE FUNCTION {p}expunge_1(
  p_organization text, p_contract text, p_id text, p_now bigint, p_limit bigint,
  OUT is_known boolean, OUT is_whole boolean, OUT ended bigint
) LANGUAGE plpgsql AS $body$
DECLARE
  v_now bigint := {p}now_1(p_now);
  v_pk bigint;
  v_groups bigint[];
BEGIN
  SELECT e.pk INTO v_pk FROM {p}events e
  WHERE e.organization = p_organization AND e.contract = p_contract AND e.id = p_id FOR NO KEY UPDATE;
  is_known := FOUND;
  is_whole := true;
  IF NOT is_known THEN
    RETURN;
  END IF;
  v_groups := array_remove(ARRAY(
    SELECT o.order_group FROM {p}deliveries o WHERE o.event = v_pk AND o.state = 'pending' LIMIT p_limit), NULL);
  PERFORM {p}lock_order_groups_1(v_groups);
  UPDATE {p}deliveries AS d SET state = 'cancelled', due_at = NULL, kept_since = NULL, finished_at = v_now
  WHERE d.id = ANY (ARRAY(
    SELECT o.id FROM {p}deliveries o
    WHERE o.event = v_pk AND o.state = 'pending' AND (o.order_group IS NULL OR o.order_group = ANY (v_groups))
    LIMIT p_limit FOR UPDATE SKIP LOCKED));
  GET DIAGNOSTICS ended = ROW_COUNT;
  is_whole := NOT EXISTS (SELECT 1 FROM {p}deliveries d WHERE d.event = v_pk AND d.state = 'pending');
  IF is_whole THEN
    UPDATE {p}events AS e SET payload = NULL, attributes = NULL WHERE e.pk = v_pk;
    UPDATE {p}payloads AS p SET payload = NULL WHERE p.event = v_pk;
  END IF;
  IF v_groups <> '{}' THEN
    PERFORM {p}unblock_heads_1(v_groups, array_fill(v_now, ARRAY[cardinality(v_groups)]));
  END IF;
END
$body$;

-- Cancels pending deliveries of a subscription that was deleted: up to p_limit that are due, and those that
-- are blocked behind them. ended is how many; is_whole is true when none is left. Rows that others have
-- locked are left to the next call, as in cancel_1. A head goes after those that it blocks, so that a call
-- finds what the one before it left.
CREATE FUNCTION {p}cancel_all_1(
  p_subscription uuid, p_now bigint, p_limit bigint, OUT ended bigint, OUT is_whole boolean
) LANGUAGE plpgsql AS $body$
DECLARE
  v_now bigint := {p}now_1(p_now);
  v_groups bigint[] := ARRAY(
    SELECT d.order_group FROM (
      SELECT q.order_group FROM {p}deliveries q
      WHERE q.subscription = p_subscription AND q.due_at IS NOT NULL ORDER BY q.is_retry, q.due_at LIMIT p_limit) AS d
    WHERE d.order_group IS NOT NULL);
  v_count bigint;
BEGIN
  PERFORM {p}lock_order_groups_1(v_groups);
  UPDATE {p}deliveries AS d SET state = 'cancelled', finished_at = v_now
  WHERE d.id = ANY (ARRAY(
    SELECT o.id FROM {p}deliveries o
    WHERE o.order_group = ANY (v_groups) AND o.state = 'pending' AND o.subscription = p_subscription AND o.due_at IS NULL
    FOR UPDATE SKIP LOCKED));
  GET DIAGNOSTICS ended = ROW_COUNT;
  UPDATE {p}deliveries AS d SET state = 'cancelled', due_at = NULL, kept_since = NULL, finished_at = v_now
  WHERE d.id = ANY (ARRAY(
    SELECT o.id FROM {p}deliveries o
    WHERE o.subscription = p_subscription AND o.due_at IS NOT NULL
      AND (o.order_group IS NULL OR o.order_group = ANY (v_groups) AND NOT EXISTS (
        SELECT 1 FROM {p}deliveries b
        WHERE b.order_group = o.order_group AND b.state = 'pending' AND b.due_at IS NULL AND b.subscription = p_subscription))
    ORDER BY o.is_retry, o.due_at LIMIT p_limit FOR UPDATE OF o SKIP LOCKED));
  GET DIAGNOSTICS v_count = ROW_COUNT;
  ended := ended + v_count;
  is_whole := NOT EXISTS (SELECT 1 FROM {p}deliveries d WHERE d.subscription = p_subscription AND d.due_at IS NOT NULL);
END
$body$;
