-- Returns whether a delivery of this event to this subscription can be made again: both exist, the payload
-- too, the event's type exists in the version that the subscription speaks, and none is pending.
CREATE FUNCTION {p}can_replay_1(p_event bigint, p_subscription uuid) RETURNS boolean LANGUAGE plpgsql STABLE AS $body$
BEGIN
  RETURN EXISTS (SELECT 1 FROM {p}events e WHERE e.pk = p_event AND e.payload IS NOT NULL)
    AND EXISTS (SELECT 1 FROM {p}subscriptions s WHERE s.id = p_subscription AND NOT EXISTS (
      SELECT 1 FROM {p}payloads p WHERE p.event = p_event AND p.version = s.version AND p.digest IS NULL))
    AND NOT EXISTS (SELECT 1 FROM {p}deliveries d
      WHERE d.event = p_event AND d.subscription = p_subscription AND d.state = 'pending');
END
$body$;

-- Returns whether this event is stored in the version that this subscription speaks.
CREATE FUNCTION {p}has_payload_1(p_event bigint, p_subscription uuid) RETURNS boolean LANGUAGE plpgsql STABLE AS $body$
DECLARE
  v_version text := (SELECT s.version FROM {p}subscriptions s WHERE s.id = p_subscription);
BEGIN
  RETURN EXISTS (SELECT 1 FROM {p}events e WHERE e.pk = p_event AND e.version = v_version)
    OR EXISTS (
      SELECT 1 FROM {p}payloads p WHERE p.event = p_event AND p.version = v_version AND p.payload IS NOT NULL);
END
$body$;

-- Finds the deliveries that a replay names, oldest first and at most p_limit: p_delivery, or those of
-- p_subscription that were made since p_since, finished without success by p_until and are not in the state
-- p_without. With p_all false it finds only those that are not stored in the version that the subscription
-- speaks.
CREATE FUNCTION {p}find_to_replay_1(
  p_delivery uuid, p_subscription uuid, p_since bigint, p_until bigint, p_without text, p_all boolean, p_limit bigint
) RETURNS uuid[] LANGUAGE plpgsql AS $body$
BEGIN
  IF p_delivery IS NOT NULL THEN
    RETURN ARRAY[p_delivery];
  END IF;
  RETURN ARRAY(
    SELECT d.id FROM {p}deliveries d
    WHERE d.subscription = p_subscription AND d.state IN ('exhausted', 'refused', 'gone', 'expired', 'cancelled')
      AND d.created_at >= p_since AND d.finished_at <= p_until AND d.state <> p_without
      AND {p}can_replay_1(d.event, d.subscription) AND (p_all OR NOT {p}has_payload_1(d.event, d.subscription))
    ORDER BY d.created_at, d.id LIMIT p_limit);
END
$body$;

-- Returns the events of these deliveries of one subscription that could be sent again and are not stored in
-- the version that it speaks, and that version; events is NULL where there are none.
CREATE FUNCTION {p}without_payload_1(p_ids uuid[], OUT events text[], OUT contract text, OUT version text)
LANGUAGE plpgsql AS $body$
BEGIN
  SELECT array_agg(DISTINCT e.id), min(s.contract), min(s.version) INTO events, contract, version
  FROM unnest(p_ids) AS f (id)
  JOIN {p}deliveries d ON d.id = ANY (ARRAY[f.id])
  JOIN {p}events e ON e.pk = ANY (ARRAY[d.event])
  JOIN {p}subscriptions s ON s.id = ANY (ARRAY[d.subscription])
  WHERE {p}can_replay_1(d.event, d.subscription) AND NOT {p}has_payload_1(d.event, d.subscription);
END
$body$;

-- Returns events that a replay names, as without_payload_1 does.
CREATE FUNCTION {p}missing_payloads_1(
  p_delivery uuid, p_subscription uuid, p_since bigint, p_until bigint, p_without text, p_limit bigint,
  OUT events text[], OUT contract text, OUT version text
) LANGUAGE plpgsql AS $body$
BEGIN
  SELECT w.events, w.contract, w.version INTO events, contract, version
  FROM {p}without_payload_1(
    {p}find_to_replay_1(p_delivery, p_subscription, p_since, p_until, p_without, false, p_limit)) AS w;
END
$body$;

-- Stores events in further versions; those without a digest are known not to exist there. The events are
-- locked, so nobody deletes their payloads meanwhile.
CREATE FUNCTION {p}add_payloads_1(
  p_organization text, p_contracts text[], p_versions text[], p_ids text[], p_digests bytea[], p_payloads bytea[]
) RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
  WITH new AS MATERIALIZED (
    SELECT e.pk, u.version, u.digest, u.payload
    FROM unnest(p_contracts, p_versions, p_ids, p_digests, p_payloads) AS u (contract, version, id, digest, payload)
    JOIN {p}events e ON e.organization = p_organization AND e.contract = u.contract AND e.id = u.id
    WHERE e.version <> u.version AND e.payload IS NOT NULL ORDER BY e.pk FOR NO KEY UPDATE OF e)
  INSERT INTO {p}payloads (event, version, digest, payload)
  SELECT n.pk, n.version, n.digest, n.payload FROM new n
  ON CONFLICT DO NOTHING;
END
$body$;

-- Returns ids for deliveries that are made at one instant, in ascending order. They sort by time (RFC 9562
-- section 5.7).
CREATE FUNCTION {p}delivery_ids_1(p_now bigint, p_count bigint) RETURNS uuid[] LANGUAGE plpgsql AS $body$
BEGIN
  RETURN ARRAY(
    SELECT (lpad(to_hex(greatest(p_now, 0) / 1000), 12, '0') || '7'
      || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid AS id
    FROM generate_series(1, p_count) ORDER BY 1);
END
$body$;

-- Makes new deliveries in place of those that find_to_replay_1 finds, and marks the dead letters among these
-- as replayed. An event that is a dead letter twice is sent again once. more is true when the limit was
-- reached.
--
-- p_until is the caller's time in any case, and the same for all calls of one replay, so that they come to an
-- end. The events are locked before their pending deliveries are looked for; of two replays at once, one sees
-- the deliveries that the other made. A new delivery sends the version that the subscription speaks. Where an
-- event is not stored in that version, nothing is made, and missing has such events. The subscriptions are
-- locked, so that their version is the same until the deliveries are made.
CREATE FUNCTION {p}replay_1(
  p_delivery uuid, p_subscription uuid, p_since bigint, p_until bigint, p_without text, p_now bigint, p_limit bigint,
  OUT made bigint, OUT more boolean, OUT missing text[], OUT missing_contract text, OUT missing_version text
) LANGUAGE plpgsql AS $body$
DECLARE
  v_now bigint := {p}now_1(p_now);
  v_found uuid[] := {p}find_to_replay_1(p_delivery, p_subscription, p_since, p_until, p_without, true, p_limit);
  v_ids uuid[];
  v_blocked boolean[];
  v_new record;
BEGIN
  more := p_delivery IS NULL AND cardinality(v_found) >= p_limit;
  PERFORM 1 FROM (
    SELECT DISTINCT d.event FROM {p}deliveries d WHERE d.id = ANY (v_found) ORDER BY 1) AS n
  CROSS JOIN LATERAL (SELECT 1 FROM {p}events e WHERE e.pk = n.event FOR NO KEY UPDATE) AS held;
  PERFORM 1 FROM (
    SELECT DISTINCT d.subscription FROM {p}deliveries d WHERE d.id = ANY (v_found) ORDER BY 1) AS n
  CROSS JOIN LATERAL (SELECT 1 FROM {p}subscriptions s WHERE s.id = n.subscription FOR SHARE) AS held;
  SELECT w.events, w.contract, w.version INTO missing, missing_contract, missing_version
  FROM {p}without_payload_1(v_found) AS w;
  IF missing IS NOT NULL THEN
    made := 0;
    more := false;
    RETURN;
  END IF;
  SELECT array_agg(a.event ORDER BY a.rank) AS events, array_agg(a.subscription ORDER BY a.rank) AS subscriptions,
    array_agg(a.order_group ORDER BY a.rank) AS order_groups INTO v_new
  FROM (
    SELECT d.event, d.subscription, min(d.order_group) AS order_group, min(f.no) AS rank
    FROM unnest(v_found) WITH ORDINALITY AS f (id, no)
    JOIN {p}deliveries d ON d.id = ANY (ARRAY[f.id])
    WHERE (p_delivery IS NOT NULL OR d.state IN ('exhausted', 'refused', 'gone', 'expired', 'cancelled'))
      AND {p}can_replay_1(d.event, d.subscription)
    GROUP BY d.event, d.subscription) AS a;
  made := coalesce(cardinality(v_new.events), 0);
  IF made = 0 THEN
    RETURN;
  END IF;
  v_ids := {p}delivery_ids_1(v_now, made);
  v_blocked := {p}blocked_1(v_new.events, v_new.order_groups);
  INSERT INTO {p}deliveries (id, event, subscription, version, order_group, state, due_at, created_at, finished_at)
  SELECT u.id, u.event, u.subscription, nullif(s.version, e.version), u.order_group, CASE WHEN s.id IS NULL THEN 'cancelled' ELSE 'pending' END,
    CASE WHEN s.id IS NOT NULL AND u.is_blocked IS NOT TRUE THEN v_now END, v_now, CASE WHEN s.id IS NULL THEN v_now END
  FROM unnest(v_ids, v_new.events, v_new.subscriptions, v_new.order_groups, v_blocked) WITH ORDINALITY
    AS u (id, event, subscription, order_group, is_blocked, no)
  JOIN {p}events e ON e.pk = ANY (ARRAY[u.event])
  LEFT JOIN {p}subscriptions s ON s.id = ANY (ARRAY[u.subscription])
  ORDER BY u.no;
  UPDATE {p}deliveries AS d SET state = 'replayed'
  FROM unnest(v_new.events, v_new.subscriptions) AS u (event, subscription)
  WHERE d.event = ANY (ARRAY[u.event]) AND d.subscription = ANY (ARRAY[u.subscription])
    AND d.state IN ('exhausted', 'refused', 'gone', 'expired', 'cancelled');
END
$body$;
