-- Decides which of these locked deliveries may be leased as far as their order goes, and never waits for a
-- lock.
--
-- in_turn has those without an order group and the heads of groups whose lock was free. The others of those
-- groups are blocked, so that no later claim finds them before their turn; blocked counts them. undecided has
-- those whose group somebody else has locked; they stay due. p_chosen has the groups of which this claim
-- leases a delivery already: nothing else of them is in turn, also when a transaction with an earlier
-- delivery has committed since.
--
-- The heads are read after the locks were taken, in a statement of its own, so everything that was committed
-- before is seen.
CREATE FUNCTION {p}check_order_1(
  p_ids uuid[], p_order_groups bigint[], p_chosen bigint[],
  OUT in_turn uuid[], OUT undecided uuid[], OUT blocked bigint, OUT tried bigint
) LANGUAGE plpgsql AS $body$
DECLARE
  v_groups bigint[] := ARRAY(
    SELECT DISTINCT u.id FROM unnest(p_order_groups) AS u (id) WHERE u.id IS NOT NULL);
  v_locked bigint[];
  v_heads uuid[];
BEGIN
  tried := cardinality(v_groups);
  v_locked := ARRAY(
    SELECT u.id FROM unnest(v_groups[:250]) AS u (id)
    WHERE pg_try_advisory_xact_lock(hashtext('{p}'), u.id::bit(32)::integer));
  v_heads := ARRAY(
    SELECT h.id FROM unnest(v_locked) AS u (id)
    CROSS JOIN LATERAL (
      SELECT d.id FROM {p}deliveries d
      WHERE d.order_group = u.id AND d.state = 'pending' ORDER BY (d.lease = 0), d.seq LIMIT 1) AS h
    WHERE u.id <> ALL (p_chosen));
  in_turn := ARRAY(
    SELECT u.id FROM unnest(p_ids, p_order_groups) AS u (id, order_group)
    WHERE u.order_group IS NULL OR u.id = ANY (v_heads));
  undecided := ARRAY(
    SELECT u.id FROM unnest(p_ids, p_order_groups) AS u (id, order_group) WHERE u.order_group <> ALL (v_locked));
  UPDATE {p}deliveries AS d SET due_at = NULL
  WHERE d.id = ANY (ARRAY(
    SELECT u.id FROM unnest(p_ids, p_order_groups) AS u (id, order_group)
    WHERE u.order_group = ANY (v_locked) AND u.id <> ALL (v_heads)));
  GET DIAGNOSTICS blocked = ROW_COUNT;
END
$body$;

-- Fills shares with deliveries that are in turn, in the order given and at most `most` of each subscription.
-- It also returns the shares that have room left and may find more: those with at least p_least deliveries
-- found. since and since_retries are when the last new delivery and the last retry found were due.
CREATE FUNCTION {p}fill_shares_1(
  p_subscriptions uuid[], p_most bigint[], p_since bigint[], p_since_retries bigint[], p_least bigint,
  p_ids uuid[], p_due bigint[], p_retries boolean[], p_order_groups bigint[], p_owners uuid[], p_in_turn uuid[],
  OUT ids uuid[], OUT due bigint[], OUT order_groups bigint[], OUT subscriptions uuid[], OUT most bigint[],
  OUT since bigint[], OUT since_retries bigint[]
) LANGUAGE plpgsql AS $body$
#variable_conflict use_column
BEGIN
  SELECT array_agg(c.id), array_agg(c.due), array_agg(c.order_group) FILTER (WHERE c.order_group IS NOT NULL)
  INTO ids, due, order_groups
  FROM (
    SELECT u.*, s.most, row_number() OVER (PARTITION BY u.owner ORDER BY u.no) AS rank
    FROM unnest(p_ids, p_due, p_order_groups, p_owners) WITH ORDINALITY AS u (id, due, order_group, owner, no)
    JOIN unnest(p_subscriptions, p_most) AS s (id, most) ON s.id = u.owner
    WHERE u.id = ANY (p_in_turn)) AS c
  WHERE c.rank <= c.most;
  SELECT array_agg(n.id), array_agg(n.most), array_agg(n.since), array_agg(n.since_retries)
  INTO subscriptions, most, since, since_retries
  FROM (
    SELECT s.id, s.most - count(*) FILTER (WHERE u.id = ANY (ids)) AS most,
      coalesce(max(u.due) FILTER (WHERE NOT u.is_retry), s.since) AS since,
      coalesce(max(u.due) FILTER (WHERE u.is_retry), s.since_retries) AS since_retries
    FROM unnest(p_subscriptions, p_most, p_since, p_since_retries) AS s (id, most, since, since_retries)
    JOIN unnest(p_ids, p_due, p_retries, p_owners) AS u (id, due, is_retry, owner) ON u.owner = s.id
    GROUP BY s.id, s.most, s.since, s.since_retries
    HAVING count(*) >= greatest(s.most, p_least)) AS n
  WHERE n.most > 0;
END
$body$;

-- Chooses up to a share of each subscription's due deliveries, new ones before retries and then earliest
-- first, and locks their rows. Retries are read only where the new ones leave room. It waits for nobody: rows
-- that others have locked are skipped. Nothing is chosen of a subscription that is disabled, paused or
-- deleted, or that speaks another contract.
--
-- Deliveries that are blocked or undecided must not hide those behind them, so there are several rounds,
-- which read at least 100 deliveries of a share from the second on. They end after 250 order groups, because
-- the server has room for some thousand locks. Deliveries that were not reached stay due.
CREATE FUNCTION {p}choose_due_1(
  p_contracts text[], p_now bigint, p_subscriptions uuid[], p_limits bigint[], p_since bigint[],
  OUT ids uuid[], OUT due bigint[]
) LANGUAGE plpgsql AS $body$
DECLARE
  v_shares record;
  v_found record;
  v_order record;
  v_filled record;
  v_seen uuid[] := '{}';
  v_order_groups bigint[] := '{}';
  v_least bigint := 0;
  v_tried bigint := 0;
BEGIN
  SELECT array_agg(s.id) AS subscriptions, array_agg(u.most) AS most, array_agg(u.since) AS since,
    array_agg(u.since) AS since_retries INTO v_shares
  FROM unnest(p_subscriptions, p_limits, p_since) AS u (id, most, since)
  JOIN {p}subscriptions s ON s.id = ANY (ARRAY[u.id])
  WHERE s.status = 'enabled' AND s.paused_until <= p_now AND s.contract = ANY (p_contracts) AND u.most > 0;
  FOR v_round IN 1 .. 20 LOOP
    EXIT WHEN v_shares.subscriptions IS NULL OR v_tried >= 250;
    SELECT array_agg(c.id) AS ids, array_agg(c.due_at) AS due, array_agg(c.is_retry) AS retries,
      array_agg(c.order_group) AS order_groups, array_agg(c.subscription) AS owners INTO v_found
    FROM (
      SELECT d.*
      FROM unnest(v_shares.subscriptions, v_shares.most, v_shares.since, v_shares.since_retries)
        AS s (id, most, since, since_retries)
      CROSS JOIN LATERAL (
        SELECT n.* FROM (VALUES (false, s.since), (true, s.since_retries)) AS k (is_retry, since)
        CROSS JOIN LATERAL (
          SELECT q.id, q.due_at, q.is_retry, q.order_group, q.subscription FROM {p}deliveries q
          WHERE q.subscription = s.id AND q.is_retry = k.is_retry AND q.due_at >= k.since AND q.due_at <= p_now
            AND q.id <> ALL (v_seen)
          ORDER BY q.due_at LIMIT greatest(s.most, v_least) FOR UPDATE SKIP LOCKED) AS n
        LIMIT greatest(s.most, v_least)) AS d) AS c;
    EXIT WHEN v_found.ids IS NULL;
    IF v_round = 1 AND array_remove(v_found.order_groups, NULL) = '{}' THEN
      ids := v_found.ids;
      due := v_found.due;
      RETURN;
    END IF;
    SELECT * INTO v_order FROM {p}check_order_1(v_found.ids, v_found.order_groups, v_order_groups);
    SELECT * INTO v_filled FROM {p}fill_shares_1(v_shares.subscriptions, v_shares.most, v_shares.since,
      v_shares.since_retries, v_least, v_found.ids, v_found.due, v_found.retries, v_found.order_groups,
      v_found.owners, v_order.in_turn);
    ids := ids || v_filled.ids;
    due := due || v_filled.due;
    -- Now each share is filled or has nothing else that is due.
    EXIT WHEN v_order.blocked = 0 AND v_order.undecided = '{}';
    v_seen := v_seen || v_filled.ids || v_order.undecided;
    v_order_groups := v_order_groups || v_filled.order_groups;
    v_tried := v_tried + v_order.tried;
    v_least := 100;
    v_shares := v_filled;
  END LOOP;
END
$body$;

-- Leases up to a share of each subscription's due deliveries and returns them with everything needed to send
-- them. The columns of a payload and of a subscription come only with the first of their deliveries. version
-- is NULL where the payload is the event's newest, whose version is newest.
--
-- The number of a lease is greater than those of all leases before. Where a damaged row has a number that
-- cannot be counted on from, the time is taken instead, so that the row is leased and reported as unreadable.
CREATE FUNCTION {p}claim_1(
  p_contracts text[], p_now bigint, p_lease bigint, p_subscriptions uuid[], p_limits bigint[], p_since bigint[]
) RETURNS TABLE (
  id uuid, lease bigint, was_due_at bigint, attempts bigint, first_attempt_at bigint, event bigint, subscription uuid,
  version text, is_ordered bigint, late bigint,
  has_event boolean, event_id text, contract text, newest text, type text, payload bytea, trace text,
  has_subscription boolean, organization text, subscription_contract text, subscription_version text, url text, filter text,
  secrets text, status text, disabled_at bigint, options text, health text, created_at bigint
) LANGUAGE plpgsql AS $body$
#variable_conflict use_column
DECLARE
  v_now bigint := {p}now_1(p_now);
  v_until bigint := {p}later_1(v_now, p_lease);
  v_ids uuid[];
  v_due bigint[];
BEGIN
  SELECT c.ids, c.due INTO v_ids, v_due
  FROM {p}choose_due_1(p_contracts, v_now, p_subscriptions, p_limits, p_since) AS c;
  RETURN QUERY
  WITH leased AS (
    UPDATE {p}deliveries AS d SET due_at = v_until,
      lease = CASE WHEN d.lease BETWEEN 0 AND 4611686018427387903 THEN d.lease + 1 ELSE greatest(v_now, 1) END
    FROM unnest(v_ids, v_due) AS c (id, due_at)
    WHERE d.id = ANY (ARRAY[c.id])
    RETURNING d.id, d.lease, c.due_at AS was_due_at, d.attempts, d.first_attempt_at, d.event, d.subscription, d.version,
      CASE WHEN d.order_group IS NULL THEN 0::bigint ELSE 1::bigint END AS is_ordered)
  SELECT l.id, l.lease, l.was_due_at, l.attempts, l.first_attempt_at, l.event, l.subscription, l.version, l.is_ordered,
    v_now - greatest(l.was_due_at, 0), l.payload_rank = 1, e.id, e.contract, e.version, e.type,
    CASE WHEN l.payload_rank > 1 THEN NULL WHEN l.version IS NULL THEN e.payload ELSE (
      SELECT p.payload FROM {p}payloads p WHERE p.event = l.event AND p.version = l.version) END,
    e.trace,
    l.subscription_rank = 1, s.organization, s.contract, s.version, s.url, s.filter, s.secrets, s.status, s.disabled_at,
    s.options, s.health, s.created_at
  FROM (
    SELECT t.*, row_number() OVER (PARTITION BY t.event, t.version) AS payload_rank,
      row_number() OVER (PARTITION BY t.subscription) AS subscription_rank
    FROM leased t) AS l
  LEFT JOIN {p}events e ON e.pk = ANY (ARRAY[CASE WHEN l.payload_rank = 1 THEN l.event END])
  LEFT JOIN {p}subscriptions s ON s.id = ANY (ARRAY[CASE WHEN l.subscription_rank = 1 THEN l.subscription END]);
END
$body$;
