-- Moves the end of leases, and returns the places (from 1) of those that were still valid.
CREATE FUNCTION {p}extend_1(p_ids uuid[], p_leases bigint[], p_now bigint, p_lease bigint)
RETURNS bigint[] LANGUAGE plpgsql AS $body$
DECLARE
  v_until bigint := {p}later_1({p}now_1(p_now), p_lease);
  v_done bigint[];
BEGIN
  WITH done AS (
    UPDATE {p}deliveries AS d SET due_at = v_until
    FROM unnest(p_ids, p_leases) WITH ORDINALITY AS u (id, lease, no)
    WHERE d.id = ANY (ARRAY[u.id]) AND d.lease = u.lease AND d.state = 'pending'
    RETURNING u.no)
  SELECT coalesce(array_agg(done.no), '{}') INTO v_done FROM done;
  RETURN v_done;
END
$body$;

-- Pauses and disables the subscriptions of settlements that were written (p_done has their places). A pause
-- is only ever made longer. Only an enabled subscription is disabled, with the first reason given.
CREATE FUNCTION {p}limit_subscriptions_1(
  p_done bigint[], p_subscriptions uuid[], p_now bigint, p_times bigint[], p_pauses bigint[], p_disable text[]
) RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
  UPDATE {p}subscriptions AS s
  SET paused_until = greatest(s.paused_until, c.paused_until),
    paused_since = CASE WHEN c.paused_until IS NULL THEN s.paused_since
      WHEN s.paused_until + 86400000000 <= c.paused_at THEN c.paused_at ELSE coalesce(s.paused_since, c.paused_at) END,
    status = CASE WHEN s.status = 'enabled' THEN coalesce(c.reason, s.status) ELSE s.status END,
    disabled_at = CASE WHEN s.status = 'enabled' THEN c.disabled_at ELSE s.disabled_at END
  FROM (
    SELECT t.subscription AS id,
      max({p}later_1(coalesce(p_times[t.no], p_now), p_pauses[t.no])) AS paused_until,
      min(coalesce(p_times[t.no], p_now)) FILTER (WHERE p_pauses[t.no] IS NOT NULL) AS paused_at,
      (array_agg(p_disable[t.no] ORDER BY t.no) FILTER (WHERE p_disable[t.no] IS NOT NULL))[1] AS reason,
      (array_agg(coalesce(p_times[t.no], p_now) ORDER BY t.no) FILTER (WHERE p_disable[t.no] IS NOT NULL))[1]
        AS disabled_at
    FROM unnest(p_done, p_subscriptions) AS t (no, subscription)
    WHERE p_pauses[t.no] IS NOT NULL OR p_disable[t.no] IS NOT NULL
    GROUP BY t.subscription ORDER BY t.subscription) AS c
  WHERE s.id = ANY (ARRAY[c.id]);
END
$body$;

-- Writes attempts together with what becomes of their deliveries, and returns the places (from 1) of the
-- settlements whose lease was still valid. The others change nothing. Settling uses the lease up, so the same
-- settlement again is stale.
--
-- Settlements come sorted by delivery. Every batch locks deliveries first, then subscriptions, then order
-- groups, so two batches cannot deadlock.
CREATE FUNCTION {p}settle_1(
  p_ids uuid[], p_leases bigint[], p_now bigint[], p_states text[], p_after bigint[], p_late bigint[], p_pauses bigint[],
  p_disable text[], p_numbers bigint[], p_started_at bigint[], p_durations bigint[], p_dns bigint[], p_connect bigint[],
  p_tls bigint[], p_first_byte bigint[], p_totals bigint[], p_statuses bigint[], p_retry_after bigint[], p_errors text[],
  p_reasons text[], p_head_statuses bigint[], p_excerpts bytea[]
) RETURNS bigint[] LANGUAGE plpgsql AS $body$
DECLARE
  v_now bigint := {p}now_1(NULL);
  v_done bigint[];
  v_subscriptions uuid[];
  v_groups bigint[];
  v_finished_at bigint[];
BEGIN
  WITH done AS (
    UPDATE {p}deliveries AS d
    SET lease = d.lease + 1, state = u.state,
      due_at = CASE WHEN u.state = 'pending' THEN {p}later_1(coalesce(u.now, v_now), u.after) END,
      finished_at = CASE WHEN u.state <> 'pending' THEN coalesce(u.now, v_now) END,
      attempts = least(greatest(d.attempts, 0), 4294967294) + CASE WHEN u.number IS NULL THEN 0 ELSE 1 END,
      is_retry = d.is_retry OR u.number IS NOT NULL,
      first_attempt_at = coalesce(d.first_attempt_at, u.started_at) + u.late,
      kept_since = CASE WHEN u.number IS NULL AND u.state = 'pending' THEN
        CASE WHEN u.after > 0 THEN coalesce(d.kept_since, u.now, v_now) ELSE d.kept_since END END
    FROM unnest(p_ids, p_leases, p_now, p_states, p_after, p_late, p_numbers, p_started_at, p_durations, p_dns, p_connect,
      p_tls, p_first_byte, p_totals, p_statuses, p_retry_after, p_errors, p_reasons, p_head_statuses,
      p_excerpts) WITH ORDINALITY
      AS u (id, lease, now, state, after, late, number, started_at, duration, dns, connect, tls, first_byte, total, status,
        retry_after, error, reason, head_status, excerpt, no)
    WHERE d.id = ANY (ARRAY[u.id]) AND d.lease = u.lease AND d.state = 'pending'
    RETURNING d.seq, d.subscription, d.order_group, u.*),
  logged AS (
    INSERT INTO {p}attempts (delivery, lease, number, started_at, duration, dns, connect, tls, first_byte, total, status,
      retry_after, error, reason, head_status, excerpt)
    SELECT t.seq, t.lease, t.number, t.started_at, t.duration, t.dns, t.connect, t.tls, t.first_byte, t.total,
      t.status, t.retry_after, t.error, t.reason, t.head_status, t.excerpt
    FROM done t WHERE t.number IS NOT NULL)
  SELECT coalesce(array_agg(t.no), '{}'), array_agg(t.subscription),
    array_agg(t.order_group) FILTER (WHERE t.order_group IS NOT NULL AND t.state <> 'pending'),
    array_agg(coalesce(t.now, v_now)) FILTER (WHERE t.order_group IS NOT NULL AND t.state <> 'pending')
  INTO v_done, v_subscriptions, v_groups, v_finished_at
  FROM done t;
  IF array_remove(p_pauses, NULL) <> '{}' OR array_remove(p_disable, NULL) <> '{}' THEN
    PERFORM {p}limit_subscriptions_1(v_done, v_subscriptions, v_now, p_now, p_pauses, p_disable);
  END IF;
  IF v_groups IS NOT NULL THEN
    PERFORM {p}unblock_heads_1(v_groups, v_finished_at);
  END IF;
  RETURN v_done;
END
$body$;
