-- Locks order groups until the end of the transaction. Every caller takes the locks in the same order, so two
-- that wait for several groups cannot deadlock.
CREATE FUNCTION {p}lock_order_groups_1(p_order_groups bigint[]) RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
  v_lock integer;
BEGIN
  FOREACH v_lock IN ARRAY ARRAY(
    SELECT DISTINCT g.id::bit(32)::integer FROM unnest(p_order_groups) AS g (id) ORDER BY 1)
  LOOP
    PERFORM pg_advisory_xact_lock(hashtext('{p}'), v_lock);
  END LOOP;
END
$body$;

-- Makes the new head of each order group due at the instant at which the last one of the group finished.
--
-- Call it in a statement of its own, after the finished rows were written. Whoever blocked a delivery behind
-- one of them held the lock of the group; once this function has that lock, it sees what they committed, so
-- no delivery stays blocked for ever.
CREATE FUNCTION {p}unblock_heads_1(p_order_groups bigint[], p_finished_at bigint[]) RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
  PERFORM {p}lock_order_groups_1(p_order_groups);
  UPDATE {p}deliveries AS d SET due_at = h.at
  FROM (
    SELECT o.id, g.at
    FROM (SELECT u.id, max(u.at) AS at FROM unnest(p_order_groups, p_finished_at) AS u (id, at) GROUP BY u.id) AS g
    CROSS JOIN LATERAL (
      SELECT n.id, n.due_at FROM {p}deliveries n
      WHERE n.order_group = g.id AND n.state = 'pending' ORDER BY (n.lease = 0), n.seq LIMIT 1) AS o
    WHERE o.due_at IS NULL
    ORDER BY o.id) AS h
  WHERE d.id = ANY (ARRAY[h.id]) AND d.due_at IS NULL AND d.state = 'pending';
END
$body$;
