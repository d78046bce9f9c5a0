-- Compares events with what is stored under their ids, where an insert found that some exist already. p_new
-- has the rows that this insert wrote; their older payloads are written here. pks and outcomes are those of
-- insert_events_1.
CREATE FUNCTION {p}compare_events_1(
  p_organizations text[], p_contracts text[], p_versions text[], p_ids text[], p_digests bytea[],
  p_older_of integer[], p_older_versions text[], p_older_digests bytea[], p_older_payloads bytea[], p_new bigint[],
  OUT pks bigint[], OUT outcomes smallint[]
) LANGUAGE plpgsql AS $body$
DECLARE
  v_pk bigint;
  v_outcome smallint;
BEGIN
  FOR i IN 1 .. cardinality(p_ids) LOOP
    SELECT e.pk, CASE WHEN EXISTS (
        SELECT 1
        FROM (SELECT e.version, e.digest UNION ALL
          SELECT p.version, p.digest FROM {p}payloads p WHERE p.event = e.pk) AS k
        JOIN (SELECT p_versions[i], p_digests[i] UNION ALL
          SELECT u.version, u.digest FROM unnest(p_older_of, p_older_versions, p_older_digests) AS u (of, version, digest)
          WHERE u.of = i) AS n (version, digest) ON n.version = k.version
        WHERE n.digest <> k.digest) THEN 2 ELSE 1 END
    INTO v_pk, v_outcome
    FROM {p}events e WHERE e.organization = p_organizations[i] AND e.contract = p_contracts[i] AND e.id = p_ids[i];
    IF NOT FOUND THEN
      RAISE EXCEPTION 'an event of the same id was deleted at this moment' USING ERRCODE = 'serialization_failure';
    END IF;
    IF v_pk = ANY (p_new) THEN
      -- The same id may stand in a batch twice. Only the first of them is new.
      p_new := array_remove(p_new, v_pk);
      v_outcome := 0;
      INSERT INTO {p}payloads (event, version, digest, payload)
      SELECT v_pk, u.version, u.digest, u.payload
      FROM unnest(p_older_of, p_older_versions, p_older_digests, p_older_payloads) AS u (of, version, digest, payload)
      WHERE u.of = i;
    ELSE
      v_pk := 0;
    END IF;
    pks[i] := v_pk;
    outcomes[i] := v_outcome;
  END LOOP;
END
$body$;

-- Inserts the events that are new, with their payloads in all versions. pks has the row of each new event and
-- 0 for the others. outcomes has 0 for a new event, 1 for a duplicate, and 2 for a conflict: a payload
-- differs from the stored one of the same version. A duplicate and a conflict change nothing.
--
-- Events come sorted by organization, contract and id, so that two batches that wait for each other's rows
-- cannot deadlock.
CREATE FUNCTION {p}insert_events_1(
  p_organizations text[], p_contracts text[], p_versions text[], p_ids text[], p_types text[], p_digests bytea[],
  p_at bigint[], p_due bigint[], p_unwanted boolean[], p_attributes text[], p_traces text[], p_payloads bytea[],
  p_older_of integer[], p_older_versions text[], p_older_digests bytea[], p_older_payloads bytea[],
  OUT pks bigint[], OUT outcomes smallint[]
) LANGUAGE plpgsql AS $body$
BEGIN
  -- Rows are numbered in the order in which they are written. Where all events are new, that is the order of
  -- their places.
  WITH made AS (
    INSERT INTO {p}events
      (organization, contract, version, id, type, digest, created_at, unwanted_at, attributes, trace, payload)
    SELECT u.organization, u.contract, u.version, u.id, u.type, u.digest, u.at, CASE WHEN u.unwanted THEN u.due END,
      u.attributes, u.trace, u.payload
    FROM unnest(p_organizations, p_contracts, p_versions, p_ids, p_types, p_digests, p_at, p_due, p_unwanted,
      p_attributes, p_traces, p_payloads) WITH ORDINALITY
      AS u (organization, contract, version, id, type, digest, at, due, unwanted, attributes, trace, payload, no)
    ORDER BY u.no
    ON CONFLICT (organization, contract, id) DO NOTHING RETURNING pk)
  SELECT coalesce(array_agg(m.pk ORDER BY m.pk), '{}') INTO pks FROM made m;
  IF cardinality(pks) < cardinality(p_ids) THEN
    SELECT c.pks, c.outcomes INTO pks, outcomes
    FROM {p}compare_events_1(p_organizations, p_contracts, p_versions, p_ids, p_digests,
      p_older_of, p_older_versions, p_older_digests, p_older_payloads, pks) AS c;
    RETURN;
  END IF;
  outcomes := array_fill(0::smallint, ARRAY[cardinality(p_ids)]);
  IF p_older_of <> '{}' THEN
    INSERT INTO {p}payloads (event, version, digest, payload)
    SELECT pks[u.of], u.version, u.digest, u.payload
    FROM unnest(p_older_of, p_older_versions, p_older_digests, p_older_payloads) AS u (of, version, digest, payload);
  END IF;
END
$body$;

-- Locks the order groups of new deliveries until the end of the transaction, and returns for each delivery
-- whether it is blocked: each one but the head of its group. p_events has 0 for a delivery that is not
-- written.
--
-- With more than 250 groups it returns NULL without locking any, because the server has room for some
-- thousand locks. A claim blocks the deliveries then.
CREATE FUNCTION {p}blocked_1(p_events bigint[], p_order_groups bigint[]) RETURNS boolean[] LANGUAGE plpgsql AS $body$
DECLARE
  v_groups bigint[] := ARRAY(
    SELECT DISTINCT u.order_group FROM unnest(p_events, p_order_groups) AS u (event, order_group)
    WHERE u.order_group IS NOT NULL AND u.event > 0);
  v_busy bigint[];
BEGIN
  IF cardinality(v_groups) NOT BETWEEN 1 AND 250 THEN
    RETURN NULL;
  END IF;
  PERFORM {p}lock_order_groups_1(v_groups);
  v_busy := ARRAY(
    SELECT g.id FROM unnest(v_groups) AS g (id)
    WHERE (SELECT d.seq FROM {p}deliveries d WHERE d.order_group = g.id AND d.state = 'pending' LIMIT 1) IS NOT NULL);
  RETURN ARRAY(
    SELECT u.order_group IS NOT NULL AND (u.order_group = ANY (v_busy)
      OR row_number() OVER (PARTITION BY u.order_group, u.event > 0 ORDER BY u.no) > 1)
    FROM unnest(p_events, p_order_groups) WITH ORDINALITY AS u (event, order_group, no) ORDER BY u.no);
END
$body$;

-- Returns which events are stale, 3 for those and 4 for the others, or NULL if none is: an event whose
-- organization's subscriptions have another edition than its own.
CREATE FUNCTION {p}stale_1(p_organizations text[], p_editions bigint[]) RETURNS smallint[] LANGUAGE plpgsql AS $body$
DECLARE
  v_outcomes smallint[] := ARRAY(
    SELECT CASE WHEN u.edition <> (
      SELECT coalesce(sum(e.edition) % 4611686018427387904, 0)
      FROM {p}editions e WHERE e.organization = ANY (ARRAY[u.organization])) THEN 3 ELSE 4 END
    FROM unnest(p_organizations, p_editions) WITH ORDINALITY AS u (organization, edition, no) ORDER BY u.no);
BEGIN
  RETURN CASE WHEN 3 = ANY (v_outcomes) THEN v_outcomes END;
END
$body$;

-- Inserts events with their deliveries. The first row returned has the outcomes, as insert_events_1 returns
-- them. Each other row has a delivery that was leased; the first one of each subscription comes with the
-- columns of that.
--
-- A delivery with a duration in p_leases is written leased (number 1) where its subscription is enabled and
-- not paused and it has no order group. Otherwise it is due, and the number 1 is used up all the same: the
-- caller may not hear the outcome, and hand back that lease. The statement that writes the deliveries also
-- reads their subscriptions, so what is returned is what was judged. A delivery whose subscription does not
-- exist (any more) is cancelled at once.
--
-- If an event is stale, nothing is written, and the outcomes are those of stale_1.
--
-- p_of is the place (from 1) of each delivery's event. With p_locks, deliveries behind the head of their
-- order group are blocked; without, all are due and a claim blocks them.
CREATE FUNCTION {p}insert_1(
  p_organizations text[], p_contracts text[], p_versions text[], p_ids text[], p_types text[], p_digests bytea[],
  p_at bigint[], p_unwanted boolean[], p_attributes text[], p_traces text[], p_payloads bytea[],
  p_older_of integer[], p_older_versions text[], p_older_digests bytea[], p_older_payloads bytea[],
  p_deliveries uuid[], p_of integer[], p_subscriptions uuid[], p_delivery_versions text[], p_order_groups bigint[],
  p_leases bigint[], p_editions bigint[], p_locks boolean, p_caller_time boolean
) RETURNS TABLE (
  outcomes smallint[], delivery uuid, was_due_at bigint, has_subscription boolean, id uuid, organization text, contract text, version text,
  url text, filter text, secrets text, status text, disabled_at bigint, options text, health text, created_at bigint
) LANGUAGE plpgsql AS $body$
#variable_conflict use_column
DECLARE
  v_now bigint := {p}now_1(NULL);
  v_due bigint[] := CASE WHEN p_caller_time THEN p_at ELSE array_fill(v_now, ARRAY[cardinality(p_ids)]) END;
  v_pks bigint[];
  v_blocked boolean[];
BEGIN
  outcomes := {p}stale_1(p_organizations, p_editions);
  IF outcomes IS NOT NULL THEN
    RETURN NEXT;
    RETURN;
  END IF;
  SELECT i.pks, i.outcomes INTO v_pks, outcomes
  FROM {p}insert_events_1(p_organizations, p_contracts, p_versions, p_ids, p_types, p_digests, p_at, v_due, p_unwanted,
    p_attributes, p_traces, p_payloads, p_older_of, p_older_versions, p_older_digests, p_older_payloads) AS i;
  RETURN NEXT;
  IF p_locks AND array_remove(p_order_groups, NULL) <> '{}' THEN
    v_blocked := {p}blocked_1(
      ARRAY(SELECT v_pks[u.of] FROM unnest(p_of) WITH ORDINALITY AS u (of, no) ORDER BY u.no), p_order_groups);
  END IF;
  RETURN QUERY
  WITH new AS MATERIALIZED (
    SELECT u.*, v_pks[u.of] AS event, p_at[u.of] AS at, v_due[u.of] AS due, s.id IS NULL AS is_orphan, l.is_leased,
      f.number,
      CASE WHEN l.is_leased THEN s END AS s
    FROM unnest(p_deliveries, p_of, p_subscriptions, p_delivery_versions, p_order_groups, p_leases, v_blocked)
      WITH ORDINALITY AS u (id, of, subscription, version, order_group, lease, is_blocked, no)
    LEFT JOIN {p}subscriptions s ON s.id = ANY (ARRAY[u.subscription])
    CROSS JOIN LATERAL (
      SELECT coalesce(u.lease IS NOT NULL AND u.order_group IS NULL AND s.status = 'enabled'
        AND s.paused_until <= v_due[u.of], false) AS is_leased) AS l
    CROSS JOIN LATERAL (
      SELECT CASE WHEN l.is_leased THEN 1 WHEN u.lease IS NULL OR u.order_group IS NOT NULL THEN 0 ELSE 2 END AS number) AS f
    WHERE v_pks[u.of] > 0),
  made AS (
    INSERT INTO {p}deliveries
      (id, event, subscription, version, order_group, state, lease, due_at, created_at, finished_at)
    SELECT n.id, n.event, n.subscription, n.version, n.order_group,
      CASE WHEN n.is_orphan THEN 'cancelled' ELSE 'pending' END, n.number,
      CASE WHEN n.is_leased THEN {p}later_1(n.due, n.lease) WHEN NOT n.is_orphan AND n.is_blocked IS NOT TRUE THEN n.due END,
      n.at, CASE WHEN n.is_orphan THEN n.due END
    FROM new n ORDER BY n.no)
  SELECT NULL::smallint[], n.id, n.due, row_number() OVER (PARTITION BY n.subscription) = 1, (n.s).id, (n.s).organization,
    (n.s).contract, (n.s).version, (n.s).url, (n.s).filter, (n.s).secrets, (n.s).status, (n.s).disabled_at, (n.s).options,
    (n.s).health, (n.s).created_at
  FROM new n WHERE n.is_leased;
END
$body$;
