-- Tables and functions of hookwire, version 1. {p} is the prefix.
--
-- due_at is set where a delivery waits for nothing but time: one that is finished, or waits behind another of its ordering
-- key ("parked"), has none and is in no index that a look or a claim walks.
-- lane tells subscription and ordering key by a hash; one that two share keeps more in order than was asked for.
-- The head of a lane is what was begun already, or else what was inserted first: ORDER BY (lease = 0), seq.
-- pruned says what retention has seen to: 1 the attempts, 2 the payload.
-- note and is_test are empty but for few.
-- unwanted_at is set on an event that was inserted without deliveries.
-- An excerpt is bytes, for an endpoint may answer a NUL, which text cannot hold.
-- Instants are microseconds since 1970 in UTC, durations microseconds.
--
-- Functions reach rows of a table by = ANY (ARRAY[..]) where a join would say =: the planner can make nothing of it but a seek
-- in an index for each row, also while the table is so small that it would rather walk all of it.

CREATE TABLE {p}schema (
  id smallint PRIMARY KEY CHECK (id = 1),
  version bigint NOT NULL,
  min_code_version bigint NOT NULL
);

CREATE TABLE {p}subscriptions (
  id uuid PRIMARY KEY,
  organization text COLLATE "C" NOT NULL,
  url text NOT NULL,
  filter text NOT NULL,
  secrets text NOT NULL,
  status text NOT NULL,
  disabled_at bigint,
  paused_until bigint NOT NULL DEFAULT 0,
  options text NOT NULL,
  health text NOT NULL,
  created_at bigint NOT NULL
);
CREATE INDEX {p}subscriptions_organization ON {p}subscriptions (organization, created_at, id);

-- Tells by hashes which subscription holds which secret.
CREATE TABLE {p}secrets (
  digest bytea PRIMARY KEY,
  subscription uuid NOT NULL REFERENCES {p}subscriptions (id) ON DELETE CASCADE
);
CREATE INDEX {p}secrets_subscription ON {p}secrets (subscription);

CREATE TABLE {p}events (
  pk bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  organization text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  type text NOT NULL,
  digest bytea NOT NULL,
  created_at bigint NOT NULL,
  unwanted_at bigint,
  attributes text,
  payload bytea,
  UNIQUE (organization, id)
);
CREATE INDEX {p}events_organization ON {p}events (organization, pk);
CREATE INDEX {p}events_unwanted ON {p}events (unwanted_at) WHERE unwanted_at IS NOT NULL;
CREATE INDEX {p}events_unwanted_payload ON {p}events (unwanted_at)
  WHERE unwanted_at IS NOT NULL AND payload IS NOT NULL;

-- Each delivery is updated at least twice: dead versions have to go before they are in the way.
CREATE TABLE {p}deliveries (
  id uuid PRIMARY KEY,
  seq bigint GENERATED ALWAYS AS IDENTITY,
  event bigint NOT NULL,
  subscription uuid NOT NULL,
  lane bigint,
  lease bigint NOT NULL DEFAULT 0,
  due_at bigint CHECK (due_at IS NULL OR state = 'pending'),
  first_attempt_at bigint,
  created_at bigint NOT NULL,
  finished_at bigint CHECK ((finished_at IS NULL) = (state = 'pending')),
  attempts bigint NOT NULL DEFAULT 0,
  pruned smallint NOT NULL DEFAULT 0,
  state text NOT NULL,
  note text,
  is_test bigint
) WITH (
  autovacuum_vacuum_scale_factor = 0.01,
  autovacuum_vacuum_threshold = 10000,
  autovacuum_vacuum_cost_delay = 0,
  autovacuum_analyze_scale_factor = 0.1
);
CREATE INDEX {p}deliveries_due ON {p}deliveries (subscription, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX {p}deliveries_lane ON {p}deliveries (lane, (lease = 0), seq)
  WHERE lane IS NOT NULL AND state = 'pending';
CREATE INDEX {p}deliveries_subscription ON {p}deliveries (subscription, id);
CREATE INDEX {p}deliveries_event ON {p}deliveries (event, subscription);
CREATE INDEX {p}deliveries_dead ON {p}deliveries (subscription, created_at, id)
  WHERE state IN ('exhausted', 'refused', 'gone', 'cancelled');
CREATE INDEX {p}deliveries_letters ON {p}deliveries (subscription, state, id)
  WHERE state IN ('exhausted', 'refused', 'gone', 'cancelled', 'replayed', 'discarded');
CREATE INDEX {p}deliveries_finished ON {p}deliveries (pruned, finished_at) WHERE finished_at IS NOT NULL;

-- delivery is the delivery's seq, and lease the one that the attempt was settled under: no delivery has it twice.
CREATE TABLE {p}attempts (
  delivery bigint NOT NULL,
  lease bigint NOT NULL,
  number bigint NOT NULL,
  started_at bigint NOT NULL,
  duration bigint NOT NULL,
  dns bigint,
  connect bigint,
  tls bigint,
  first_byte bigint,
  total bigint NOT NULL,
  status bigint,
  retry_after bigint,
  error text,
  excerpt bytea NOT NULL,
  PRIMARY KEY (delivery, lease)
);

CREATE TABLE {p}inbox (
  source text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  lease bigint NOT NULL,
  lease_until bigint NOT NULL,
  committed boolean NOT NULL DEFAULT false,
  keep_until bigint NOT NULL,
  PRIMARY KEY (source, id)
);
CREATE INDEX {p}inbox_keep_until ON {p}inbox (keep_until);

-- A request waits or is leased (due_at), was given up (given_up_at), or is done (keep_until). Each is updated at least twice.
CREATE TABLE {p}intake (
  pk bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  source text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  queue text COLLATE "C" NOT NULL,
  event text NOT NULL,
  proof text NOT NULL,
  received_at bigint NOT NULL,
  signed_at bigint,
  lease bigint NOT NULL DEFAULT 0,
  attempts bigint NOT NULL DEFAULT 0,
  due_at bigint,
  first_attempt_at bigint,
  given_up_at bigint,
  keep_until bigint,
  reason text NOT NULL DEFAULT '',
  body bytea,
  UNIQUE (source, id),
  CHECK (num_nonnulls(due_at, given_up_at, keep_until) = 1)
) WITH (
  autovacuum_vacuum_scale_factor = 0.01,
  autovacuum_vacuum_threshold = 10000,
  autovacuum_vacuum_cost_delay = 0,
  autovacuum_analyze_scale_factor = 0.1
);
CREATE INDEX {p}intake_due ON {p}intake (queue, due_at, pk) WHERE due_at IS NOT NULL;
CREATE INDEX {p}intake_given_up ON {p}intake (queue, source, id) WHERE given_up_at IS NOT NULL;
CREATE INDEX {p}intake_keep_until ON {p}intake (keep_until) WHERE keep_until IS NOT NULL;

-- Now, where the caller does not say: the clock moves on within a transaction.
CREATE FUNCTION {p}now_1(p_now bigint) RETURNS bigint LANGUAGE sql VOLATILE AS $body$
  SELECT coalesce(p_now, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
$body$;

-- What is added to an instant never leads beyond the last one that can be read back, the end of the year 9999.
CREATE FUNCTION {p}later_1(p_at bigint, p_span bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $body$
  SELECT CASE WHEN p_at + p_span > 253402300799000000 THEN 253402300799000000 ELSE p_at + p_span END
$body$;

-- Writes a new subscription that holds a secret, where its organization has room for it. Those who add to one organization wait for
-- one another, so that its limit is not judged by what changes meanwhile.
CREATE FUNCTION {p}add_subscription_1(
  p_id uuid, p_organization text, p_url text, p_filter text, p_secrets text, p_status text, p_disabled_at bigint,
  p_options text, p_health text, p_created_at bigint, p_digest bytea, p_limit bigint
) RETURNS text LANGUAGE plpgsql AS $body$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('{p}subscriptions'), hashtext(p_organization));
  IF EXISTS (SELECT 1 FROM {p}subscriptions s WHERE s.id = p_id) THEN
    RETURN 'exists';
  END IF;
  IF (SELECT count(*) FROM (SELECT 1 FROM {p}subscriptions s WHERE s.organization = p_organization LIMIT p_limit) AS n) >= p_limit
  THEN
    RETURN 'full';
  END IF;
  INSERT INTO {p}subscriptions (id, organization, url, filter, secrets, status, disabled_at, options, health, created_at)
  VALUES (p_id, p_organization, p_url, p_filter, p_secrets, p_status, p_disabled_at, p_options, p_health, p_created_at);
  IF p_digest IS NOT NULL THEN
    INSERT INTO {p}secrets (digest, subscription) VALUES (p_digest, p_id) ON CONFLICT (digest) DO NOTHING;
    IF NOT FOUND THEN
      DELETE FROM {p}subscriptions s WHERE s.id = p_id;
      RETURN 'secret in use';
    END IF;
  END IF;
  RETURN 'done';
END
$body$;

-- Waits for lanes in the order of their locks, so that two who wait for several do not wait for each other.
CREATE FUNCTION {p}lock_lanes_1(p_lanes bigint[]) RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
  v_lock integer;
BEGIN
  FOREACH v_lock IN ARRAY ARRAY(
    SELECT DISTINCT l.lane::bit(32)::integer FROM unnest(p_lanes) AS l (lane) ORDER BY 1)
  LOOP
    PERFORM pg_advisory_xact_lock(hashtext('{p}'), v_lock);
  END LOOP;
END
$body$;

-- Of each of these lanes, where something ended at p_at, the head is due then if it was parked.
--
-- Called after the ended rows were written and in a statement of its own: whoever parked a delivery behind one of them held
-- the lane's lock and has committed.
CREATE FUNCTION {p}wake_1(p_lanes bigint[], p_at bigint[]) RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
  IF coalesce(cardinality(p_lanes), 0) = 0 THEN
    RETURN;
  END IF;
  PERFORM {p}lock_lanes_1(p_lanes);
  UPDATE {p}deliveries AS d SET due_at = h.at
  FROM (
    SELECT o.id, l.at
    FROM (SELECT u.lane, max(u.at) AS at FROM unnest(p_lanes, p_at) AS u (lane, at) GROUP BY u.lane) AS l
    CROSS JOIN LATERAL (
      SELECT n.id, n.due_at FROM {p}deliveries n
      WHERE n.lane = l.lane AND n.state = 'pending' ORDER BY (n.lease = 0), n.seq LIMIT 1) AS o
    WHERE o.due_at IS NULL
    ORDER BY o.id) AS h
  WHERE d.id = ANY (ARRAY[h.id]) AND d.due_at IS NULL AND d.state = 'pending';
END
$body$;

-- Makes deliveries of event rows (0 where none is wanted). With p_parks those that are not the head of their lane wait;
-- without, and where there are more lanes than locks are good for, a claim parks them.
CREATE FUNCTION {p}add_1(
  p_ids uuid[], p_events bigint[], p_subscriptions uuid[], p_lanes bigint[], p_at bigint[], p_due bigint[], p_parks boolean
) RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
  v_lanes bigint[];
  v_busy bigint[] := '{}';
  v_parks boolean := false;
BEGIN
  IF p_parks THEN
    v_lanes := ARRAY(
      SELECT DISTINCT u.lane FROM unnest(p_events, p_lanes) AS u (event, lane)
      WHERE u.lane IS NOT NULL AND u.event > 0);
    v_parks := cardinality(v_lanes) BETWEEN 1 AND 250;
    IF v_parks THEN
      PERFORM {p}lock_lanes_1(v_lanes);
      v_busy := ARRAY(
        SELECT l.lane FROM unnest(v_lanes) AS l (lane)
        WHERE (SELECT d.seq FROM {p}deliveries d WHERE d.lane = l.lane AND d.state = 'pending' LIMIT 1) IS NOT NULL);
    END IF;
  END IF;
  INSERT INTO {p}deliveries (id, event, subscription, lane, state, due_at, created_at, finished_at)
  SELECT n.id, n.event, n.subscription, n.lane, CASE WHEN s.id IS NULL THEN 'cancelled' ELSE 'pending' END,
    CASE WHEN s.id IS NOT NULL AND NOT (v_parks AND n.lane IS NOT NULL AND (n.rank > 1 OR n.lane = ANY (v_busy)))
      THEN n.due END,
    n.at, CASE WHEN s.id IS NULL THEN n.due END
  FROM (
    SELECT u.*, row_number() OVER (PARTITION BY u.lane ORDER BY u.no) AS rank
    FROM unnest(p_ids, p_events, p_subscriptions, p_lanes, p_at, p_due) WITH ORDINALITY
      AS u (id, event, subscription, lane, at, due, no)
    WHERE u.event > 0) AS n
  LEFT JOIN {p}subscriptions s ON s.id = ANY (ARRAY[n.subscription])
  ORDER BY n.no;
END
$body$;

-- Tells of each event 0 when it is new, 1 when it is a duplicate, 2 when it is a conflict.
--
-- p_of names the event of each delivery by its place, from 1. Events come sorted by organization and id, so that two batches
-- wait for each other in one direction only.
CREATE FUNCTION {p}insert_1(
  p_organizations text[], p_ids text[], p_types text[], p_digests bytea[], p_at bigint[], p_unwanted boolean[],
  p_attributes text[], p_payloads bytea[],
  p_deliveries uuid[], p_of integer[], p_subscriptions uuid[], p_lanes bigint[],
  p_parks boolean, p_caller_time boolean
) RETURNS smallint[] LANGUAGE plpgsql AS $body$
DECLARE
  v_now bigint := {p}now_1(NULL);
  v_due bigint[];
  v_pk bigint;
  v_pks bigint[];
  v_new bigint[];
  v_told smallint;
  v_all smallint[];
BEGIN
  v_due := CASE WHEN p_caller_time THEN p_at ELSE array_fill(v_now, ARRAY[cardinality(p_ids)]) END;
  -- Numbers are given in the order of the rows, so that where all are new they are known by their places.
  WITH made AS (
    INSERT INTO {p}events (organization, id, type, digest, created_at, unwanted_at, attributes, payload)
    SELECT u.organization, u.id, u.type, u.digest, u.at, CASE WHEN u.unwanted THEN u.due END, u.attributes, u.payload
    FROM unnest(p_organizations, p_ids, p_types, p_digests, p_at, p_unwanted, v_due, p_attributes, p_payloads)
      WITH ORDINALITY AS u (organization, id, type, digest, at, unwanted, due, attributes, payload, no)
    ORDER BY u.no
    ON CONFLICT (organization, id) DO NOTHING RETURNING pk)
  SELECT coalesce(array_agg(m.pk ORDER BY m.pk), '{}') INTO v_pks FROM made m;
  v_all := array_fill(0::smallint, ARRAY[cardinality(p_ids)]);
  IF cardinality(v_pks) < cardinality(p_ids) THEN
    v_new := v_pks;
    v_pks := '{}';
    FOR i IN 1 .. cardinality(p_ids) LOOP
      SELECT e.pk, CASE WHEN e.digest = p_digests[i] THEN 1 ELSE 2 END INTO v_pk, v_told
      FROM {p}events e WHERE e.organization = p_organizations[i] AND e.id = p_ids[i];
      IF NOT FOUND THEN
        RAISE EXCEPTION 'an event of the same id was deleted at this moment' USING ERRCODE = 'serialization_failure';
      END IF;
      IF v_pk = ANY (v_new) THEN
        -- Of one that is there twice, the first is new.
        v_new := array_remove(v_new, v_pk);
        v_told := 0;
      ELSE
        v_pk := 0;
      END IF;
      v_pks[i] := v_pk;
      v_all[i] := v_told;
    END LOOP;
  END IF;
  IF cardinality(p_deliveries) > 0 THEN
    PERFORM {p}add_1(p_deliveries, array_agg(v_pks[u.event] ORDER BY u.no), p_subscriptions, p_lanes,
      array_agg(p_at[u.event] ORDER BY u.no), array_agg(v_due[u.event] ORDER BY u.no), p_parks)
    FROM unnest(p_of) WITH ORDINALITY AS u (event, no);
  END IF;
  RETURN v_all;
END
$body$;

-- Which subscriptions have something due: from p_from on, then from the first to p_to, which lies before it.
CREATE FUNCTION {p}look_1(
  p_now bigint, p_limit bigint, p_from uuid, p_to uuid, OUT ready uuid[], OUT wait bigint, OUT is_whole boolean
) LANGUAGE plpgsql AS $body$
DECLARE
  v_now bigint := {p}now_1(p_now);
  v_from uuid := p_from;
  v_to uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
  v_seen record;
BEGIN
  ready := '{}';
  is_whole := false;
  LOOP
    -- One seek for each subscription, whatever lies between.
    FOR v_seen IN
      WITH RECURSIVE hop AS (
        (SELECT d.subscription, d.due_at FROM {p}deliveries d
          WHERE d.due_at IS NOT NULL AND d.subscription >= v_from AND d.subscription <= v_to
          ORDER BY d.subscription, d.due_at LIMIT 1)
        UNION ALL
        SELECT n.subscription, n.due_at FROM hop
        CROSS JOIN LATERAL (
          SELECT d.subscription, d.due_at FROM {p}deliveries d
          WHERE d.due_at IS NOT NULL AND d.subscription > hop.subscription AND d.subscription <= v_to
          ORDER BY d.subscription, d.due_at LIMIT 1) AS n)
      SELECT s.id, greatest(s.paused_until, hop.due_at) AS ready_at
      FROM hop JOIN {p}subscriptions s ON s.id = ANY (ARRAY[hop.subscription])
      WHERE s.status = 'enabled'
    LOOP
      IF v_seen.ready_at > v_now THEN
        wait := least(wait, v_seen.ready_at - v_now);
      ELSIF cardinality(ready) < p_limit THEN
        ready := ready || v_seen.id;
      ELSE
        wait := 0;
        RETURN;
      END IF;
    END LOOP;
    EXIT WHEN p_to IS NULL OR v_to = p_to;
    v_from := '00000000-0000-0000-0000-000000000000';
    v_to := p_to;
  END LOOP;
  is_whole := true;
END
$body$;

-- Leases up to a share of each subscription's due deliveries and returns them, an event's and a subscription's columns only
-- with the first of their rows.
--
-- It waits for nobody: rows that others hold are skipped, and deliveries whose lane is held stay as they are. Those of a
-- lane that it got are judged in a statement of their own, which sees all that was committed before; what is not the
-- head there is parked. Several rounds, so that what was parked hides nothing behind it; what is not reached is still due.
CREATE FUNCTION {p}claim_1(p_now bigint, p_lease bigint, p_subscriptions uuid[], p_limits bigint[], p_since bigint[])
RETURNS TABLE (
  id uuid, lease bigint, was_due_at bigint, attempts bigint, first_attempt_at bigint, event bigint, subscription uuid,
  is_ordered bigint, has_event boolean, event_id text, type text, payload bytea,
  has_subscription boolean, organization text, url text, filter text, secrets text, status text, disabled_at bigint,
  options text, health text, created_at bigint
) LANGUAGE plpgsql AS $body$
#variable_conflict use_column
DECLARE
  v_now bigint := {p}now_1(p_now);
  v_until bigint := {p}later_1(v_now, p_lease);
  v_subscriptions uuid[];
  v_left bigint[];
  v_since bigint[];
  v_least bigint := 0;
  v_found uuid[];
  v_due bigint[];
  v_lanes bigint[];
  v_of uuid[];
  v_got bigint[];
  v_tried bigint := 0;
  v_heads uuid[];
  v_parked uuid[];
  v_skipped uuid[] := '{}';
  v_chosen uuid[];
  v_taken uuid[];
  v_leases bigint[];
  v_attempts bigint[];
  v_first bigint[];
  v_events bigint[];
  v_parents uuid[];
  v_was_due bigint[];
  v_taken_lanes bigint[];
  v_all uuid[] := '{}';
  v_all_leases bigint[] := '{}';
  v_all_attempts bigint[] := '{}';
  v_all_first bigint[] := '{}';
  v_all_events bigint[] := '{}';
  v_all_parents uuid[] := '{}';
  v_all_was_due bigint[] := '{}';
  v_all_lanes bigint[] := '{}';
BEGIN
  SELECT array_agg(s.id), array_agg(u.most), array_agg(u.since) INTO v_subscriptions, v_left, v_since
  FROM unnest(p_subscriptions, p_limits, p_since) AS u (id, most, since)
  JOIN {p}subscriptions s ON s.id = ANY (ARRAY[u.id])
  WHERE s.status = 'enabled' AND s.paused_until <= v_now AND u.most > 0;
  FOR v_round IN 1 .. 20 LOOP
    EXIT WHEN v_subscriptions IS NULL OR v_tried >= 250;
    SELECT array_agg(c.id), array_agg(c.due_at), array_agg(c.lane), array_agg(c.subscription)
    INTO v_found, v_due, v_lanes, v_of
    FROM (
      SELECT d.* FROM unnest(v_subscriptions, v_left, v_since) AS s (id, most, since)
      CROSS JOIN LATERAL (
        SELECT q.id, q.due_at, q.lane, q.subscription FROM {p}deliveries q
        WHERE q.subscription = s.id AND q.due_at >= s.since AND q.due_at <= v_now AND q.id <> ALL (v_skipped)
        ORDER BY q.due_at LIMIT greatest(s.most, v_least) FOR UPDATE SKIP LOCKED) AS d) AS c;
    EXIT WHEN v_found IS NULL;
    -- Where nothing is kept in order, all that was found in the first round is taken, in one statement.
    IF v_round = 1 AND array_remove(v_lanes, NULL) = '{}' THEN
      RETURN QUERY
      WITH taken AS (
        UPDATE {p}deliveries AS d SET due_at = v_until,
          lease = CASE WHEN d.lease BETWEEN 0 AND 4611686018427387903 THEN d.lease + 1 ELSE greatest(v_now, 1) END
        FROM unnest(v_found, v_due) AS f (id, due_at)
        WHERE d.id = ANY (ARRAY[f.id])
        RETURNING d.id, d.lease, f.due_at AS was_due_at, d.attempts, d.first_attempt_at, d.event, d.subscription)
      SELECT l.id, l.lease, l.was_due_at, l.attempts, l.first_attempt_at, l.event, l.subscription,
        0::bigint, l.event_rank = 1, e.id, e.type, e.payload,
        l.subscription_rank = 1, s.organization, s.url, s.filter, s.secrets, s.status, s.disabled_at, s.options, s.health,
        s.created_at
      FROM (
        SELECT t.*, row_number() OVER (PARTITION BY t.event) AS event_rank,
          row_number() OVER (PARTITION BY t.subscription) AS subscription_rank
        FROM taken t) AS l
      LEFT JOIN {p}events e ON e.pk = ANY (ARRAY[CASE WHEN l.event_rank = 1 THEN l.event END])
      LEFT JOIN {p}subscriptions s ON s.id = ANY (ARRAY[CASE WHEN l.subscription_rank = 1 THEN l.subscription END]);
      RETURN;
    END IF;
    v_heads := '{}';
    v_parked := '{}';
    IF EXISTS (SELECT 1 FROM unnest(v_lanes) AS u (lane) WHERE u.lane IS NOT NULL) THEN
      v_got := ARRAY(
        SELECT l.lane FROM (
          SELECT DISTINCT u.lane FROM unnest(v_lanes) AS u (lane) WHERE u.lane IS NOT NULL LIMIT 250) AS l
        WHERE pg_try_advisory_xact_lock(hashtext('{p}'), l.lane::bit(32)::integer));
      v_tried := v_tried + (SELECT count(DISTINCT u.lane) FROM unnest(v_lanes) AS u (lane));
      v_heads := ARRAY(
        SELECT h.id FROM unnest(v_got) AS g (lane)
        CROSS JOIN LATERAL (
          SELECT o.id FROM {p}deliveries o
          WHERE o.lane = g.lane AND o.state = 'pending' ORDER BY (o.lease = 0), o.seq LIMIT 1) AS h);
      v_parked := ARRAY(
        SELECT u.id FROM unnest(v_found, v_lanes) AS u (id, lane)
        WHERE u.lane = ANY (v_got) AND u.id <> ALL (v_heads));
      v_skipped := v_skipped || ARRAY(
        SELECT u.id FROM unnest(v_found, v_lanes) AS u (id, lane) WHERE u.lane <> ALL (v_got));
      UPDATE {p}deliveries AS d SET due_at = NULL WHERE d.id = ANY (v_parked);
    END IF;
    v_chosen := ARRAY(
      SELECT c.id FROM (
        SELECT u.id, s.most, row_number() OVER (PARTITION BY u.subscription ORDER BY u.no) AS rank
        FROM unnest(v_found, v_lanes, v_of) WITH ORDINALITY AS u (id, lane, subscription, no)
        JOIN unnest(v_subscriptions, v_left) AS s (id, most) ON s.id = u.subscription
        WHERE u.lane IS NULL OR u.id = ANY (v_heads)) AS c
      WHERE c.rank <= c.most);
    WITH taken AS (
      UPDATE {p}deliveries AS d SET due_at = v_until,
        lease = CASE WHEN d.lease BETWEEN 0 AND 4611686018427387903 THEN d.lease + 1 ELSE greatest(v_now, 1) END
      WHERE d.id = ANY (v_chosen) RETURNING d.*)
    SELECT array_agg(t.id), array_agg(t.lease), array_agg(t.attempts), array_agg(t.first_attempt_at), array_agg(t.event),
      array_agg(t.subscription), array_agg(f.due_at), array_agg(t.lane)
    INTO v_taken, v_leases, v_attempts, v_first, v_events, v_parents, v_was_due, v_taken_lanes
    FROM taken t JOIN unnest(v_found, v_due) AS f (id, due_at) ON f.id = t.id;
    v_all := v_all || v_taken;
    v_all_leases := v_all_leases || v_leases;
    v_all_attempts := v_all_attempts || v_attempts;
    v_all_first := v_all_first || v_first;
    v_all_events := v_all_events || v_events;
    v_all_parents := v_all_parents || v_parents;
    v_all_was_due := v_all_was_due || v_was_due;
    v_all_lanes := v_all_lanes || v_taken_lanes;
    -- Without parking and skipping, each share is filled or exhausted.
    EXIT WHEN cardinality(v_parked) = 0 AND cardinality(v_skipped) = 0;
    SELECT array_agg(n.id), array_agg(n.most), array_agg(n.since) INTO v_subscriptions, v_left, v_since
    FROM (
      SELECT s.id, s.most - count(*) FILTER (WHERE u.id = ANY (v_taken)) AS most, max(u.due_at) AS since
      FROM unnest(v_subscriptions, v_left) AS s (id, most)
      JOIN unnest(v_found, v_due, v_of) AS u (id, due_at, subscription) ON u.subscription = s.id
      GROUP BY s.id, s.most
      HAVING count(*) >= greatest(s.most, v_least)) AS n
    WHERE n.most > 0;
    v_least := 100;
  END LOOP;
  RETURN QUERY
  SELECT l.id, l.lease, l.was_due_at, l.attempts, l.first_attempt_at, l.event, l.subscription,
    CASE WHEN l.lane IS NULL THEN 0::bigint ELSE 1::bigint END, l.event_rank = 1, e.id, e.type, e.payload,
    l.subscription_rank = 1, s.organization, s.url, s.filter, s.secrets, s.status, s.disabled_at, s.options, s.health,
    s.created_at
  FROM (
    SELECT u.*, row_number() OVER (PARTITION BY u.event) AS event_rank,
      row_number() OVER (PARTITION BY u.subscription) AS subscription_rank
    FROM unnest(v_all, v_all_leases, v_all_was_due, v_all_attempts, v_all_first, v_all_events, v_all_parents, v_all_lanes)
      AS u (id, lease, was_due_at, attempts, first_attempt_at, event, subscription, lane)) AS l
  LEFT JOIN {p}events e ON e.pk = ANY (ARRAY[CASE WHEN l.event_rank = 1 THEN l.event END])
  LEFT JOIN {p}subscriptions s ON s.id = ANY (ARRAY[CASE WHEN l.subscription_rank = 1 THEN l.subscription END]);
END
$body$;

-- Has leases end, and tells by their places which were still good.
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

-- Writes attempts and what becomes of their deliveries, and tells by their places which leases were still good.
--
-- Settlements come sorted by delivery, so that two batches wait for each other in one direction only: rows first, then
-- subscriptions, then lanes. Using the lease up makes the same settlement again stale.
CREATE FUNCTION {p}settle_1(
  p_ids uuid[], p_leases bigint[], p_now bigint[], p_states text[], p_after bigint[], p_pauses bigint[], p_disable text[],
  p_numbers bigint[], p_started_at bigint[], p_durations bigint[], p_dns bigint[], p_connect bigint[], p_tls bigint[],
  p_first_byte bigint[], p_totals bigint[], p_statuses bigint[], p_retry_after bigint[], p_errors text[],
  p_excerpts bytea[]
) RETURNS bigint[] LANGUAGE plpgsql AS $body$
DECLARE
  v_now bigint := {p}now_1(NULL);
  v_done bigint[];
  v_lanes bigint[];
  v_ended_at bigint[];
  v_subscriptions uuid[];
BEGIN
  WITH done AS (
    UPDATE {p}deliveries AS d
    SET lease = d.lease + 1, state = u.state,
      due_at = CASE WHEN u.state = 'pending' THEN {p}later_1(coalesce(u.now, v_now), u.after) END,
      finished_at = CASE WHEN u.state <> 'pending' THEN coalesce(u.now, v_now) END,
      attempts = least(greatest(d.attempts, 0), 4294967294) + CASE WHEN u.number IS NULL THEN 0 ELSE 1 END,
      first_attempt_at = coalesce(d.first_attempt_at, u.started_at)
    FROM unnest(p_ids, p_leases, p_now, p_states, p_after, p_numbers, p_started_at, p_durations, p_dns, p_connect,
      p_tls, p_first_byte, p_totals, p_statuses, p_retry_after, p_errors, p_excerpts) WITH ORDINALITY
      AS u (id, lease, now, state, after, number, started_at, duration, dns, connect, tls, first_byte, total, status,
        retry_after, error, excerpt, no)
    WHERE d.id = ANY (ARRAY[u.id]) AND d.lease = u.lease AND d.state = 'pending'
    RETURNING d.seq, d.subscription, d.lane, u.*),
  logged AS (
    INSERT INTO {p}attempts (delivery, lease, number, started_at, duration, dns, connect, tls, first_byte, total, status,
      retry_after, error, excerpt)
    SELECT t.seq, t.lease, t.number, t.started_at, t.duration, t.dns, t.connect, t.tls, t.first_byte, t.total,
      t.status, t.retry_after, t.error, t.excerpt
    FROM done t WHERE t.number IS NOT NULL)
  SELECT coalesce(array_agg(t.no), '{}'), array_agg(t.subscription),
    array_agg(t.lane) FILTER (WHERE t.lane IS NOT NULL AND t.state <> 'pending'),
    array_agg(coalesce(t.now, v_now)) FILTER (WHERE t.lane IS NOT NULL AND t.state <> 'pending')
  INTO v_done, v_subscriptions, v_lanes, v_ended_at
  FROM done t;
  -- Only a subscription that is enabled is disabled, with the first reason, and only a longer pause is written.
  IF EXISTS (SELECT 1 FROM unnest(p_pauses, p_disable) AS u (pause, reason)
    WHERE u.pause IS NOT NULL OR u.reason IS NOT NULL)
  THEN
    UPDATE {p}subscriptions AS s
    SET paused_until = greatest(s.paused_until, c.paused_until),
      status = CASE WHEN s.status = 'enabled' THEN coalesce(c.reason, s.status) ELSE s.status END,
      disabled_at = CASE WHEN s.status = 'enabled' THEN c.disabled_at ELSE s.disabled_at END
    FROM (
      SELECT t.subscription AS id,
        max({p}later_1(coalesce(p_now[t.no], v_now), p_pauses[t.no])) AS paused_until,
        (array_agg(p_disable[t.no] ORDER BY t.no) FILTER (WHERE p_disable[t.no] IS NOT NULL))[1] AS reason,
        (array_agg(coalesce(p_now[t.no], v_now) ORDER BY t.no) FILTER (WHERE p_disable[t.no] IS NOT NULL))[1]
          AS disabled_at
      FROM unnest(v_done, v_subscriptions) AS t (no, subscription)
      WHERE p_pauses[t.no] IS NOT NULL OR p_disable[t.no] IS NOT NULL
      GROUP BY t.subscription ORDER BY t.subscription) AS c
    WHERE s.id = ANY (ARRAY[c.id]);
  END IF;
  PERFORM {p}wake_1(v_lanes, v_ended_at);
  RETURN v_done;
END
$body$;

CREATE FUNCTION {p}cancel_1(p_id uuid, p_now bigint) RETURNS boolean LANGUAGE plpgsql AS $body$
DECLARE
  v_now bigint := {p}now_1(p_now);
  v_lane bigint;
BEGIN
  UPDATE {p}deliveries AS d SET state = 'cancelled', due_at = NULL, finished_at = v_now
  WHERE d.id = p_id AND d.state = 'pending' RETURNING d.lane INTO v_lane;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  IF v_lane IS NOT NULL THEN
    PERFORM {p}wake_1(ARRAY[v_lane], ARRAY[v_now]);
  END IF;
  RETURN true;
END
$body$;

-- Cancels what is due, and in its lanes what is parked; again until nothing is, for an end may have let something be due
-- meanwhile. Nothing is woken: nothing of a subscription that is gone is ever sent.
CREATE FUNCTION {p}cancel_all_1(p_subscription uuid, p_now bigint) RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
  v_lanes bigint[];
  v_count bigint;
BEGIN
  LOOP
    WITH done AS (
      UPDATE {p}deliveries AS d SET state = 'cancelled', due_at = NULL, finished_at = p_now
      WHERE d.subscription = p_subscription AND d.due_at IS NOT NULL RETURNING d.lane)
    SELECT count(*), array_agg(DISTINCT t.lane) FILTER (WHERE t.lane IS NOT NULL) INTO v_count, v_lanes FROM done t;
    EXIT WHEN v_count = 0;
    UPDATE {p}deliveries AS d SET state = 'cancelled', due_at = NULL, finished_at = p_now
    WHERE d.lane = ANY (v_lanes) AND d.state = 'pending' AND d.subscription = p_subscription;
  END LOOP;
END
$body$;

-- Rows first and the subscription then, as settling takes them; what was inserted in between is cancelled afterwards.
CREATE FUNCTION {p}delete_subscription_1(p_id uuid, p_now bigint) RETURNS boolean LANGUAGE plpgsql AS $body$
DECLARE
  v_now bigint := {p}now_1(p_now);
BEGIN
  IF NOT EXISTS (SELECT 1 FROM {p}subscriptions s WHERE s.id = p_id) THEN
    RETURN false;
  END IF;
  PERFORM {p}cancel_all_1(p_id, v_now);
  DELETE FROM {p}subscriptions s WHERE s.id = p_id;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  PERFORM {p}cancel_all_1(p_id, v_now);
  RETURN true;
END
$body$;

-- Cancels up to p_limit of an event's pending deliveries, and deletes its payload when no more are left. Several calls, so
-- that none takes more locks than the server has room for.
CREATE FUNCTION {p}expunge_1(
  p_organization text, p_id text, p_now bigint, p_limit bigint, OUT is_known boolean, OUT is_whole boolean
) LANGUAGE plpgsql AS $body$
DECLARE
  v_now bigint := {p}now_1(p_now);
  v_pk bigint;
  v_count bigint;
  v_lanes bigint[];
  v_at bigint[];
BEGIN
  -- Held, so that nobody replays it meanwhile.
  SELECT e.pk INTO v_pk FROM {p}events e WHERE e.organization = p_organization AND e.id = p_id FOR NO KEY UPDATE;
  is_known := FOUND;
  is_whole := true;
  IF NOT is_known THEN
    RETURN;
  END IF;
  WITH done AS (
    UPDATE {p}deliveries AS d SET state = 'cancelled', due_at = NULL, finished_at = v_now
    WHERE d.state = 'pending' AND d.id = ANY (ARRAY(
      SELECT o.id FROM {p}deliveries o WHERE o.event = v_pk AND o.state = 'pending' LIMIT p_limit))
    RETURNING d.lane)
  SELECT count(*), array_agg(t.lane) FILTER (WHERE t.lane IS NOT NULL),
    array_agg(v_now) FILTER (WHERE t.lane IS NOT NULL)
  INTO v_count, v_lanes, v_at FROM done t;
  is_whole := NOT EXISTS (SELECT 1 FROM {p}deliveries d WHERE d.event = v_pk AND d.state = 'pending');
  IF is_whole THEN
    UPDATE {p}events AS e SET payload = NULL, attributes = NULL WHERE e.pk = v_pk;
  END IF;
  PERFORM {p}wake_1(v_lanes, v_at);
END
$body$;

-- Makes new deliveries in place of one (p_delivery), or of those of a subscription that were made since p_since, ended without
-- success by p_until and are not in the state p_without. p_until is the caller's time in any case: one for all calls of a replay.
--
-- The events are held before it is asked what is pending: of two replays at once one sees what the other made.
CREATE FUNCTION {p}replay_1(
  p_delivery uuid, p_subscription uuid, p_since bigint, p_until bigint, p_without text, p_now bigint, p_limit bigint,
  OUT made bigint, OUT more boolean
) LANGUAGE plpgsql AS $body$
DECLARE
  v_now bigint := {p}now_1(p_now);
  v_found uuid[];
  v_events bigint[];
  v_subscriptions uuid[];
  v_lanes bigint[];
BEGIN
  made := 0;
  IF p_delivery IS NOT NULL THEN
    v_found := ARRAY[p_delivery];
  ELSE
    v_found := ARRAY(
      SELECT d.id FROM {p}deliveries d
      WHERE d.subscription = p_subscription AND d.state IN ('exhausted', 'refused', 'gone', 'cancelled')
        AND d.created_at >= p_since AND d.finished_at <= p_until AND d.state <> p_without
        AND EXISTS (SELECT 1 FROM {p}subscriptions s WHERE s.id = ANY (ARRAY[d.subscription]))
        AND EXISTS (SELECT 1 FROM {p}events e WHERE e.pk = ANY (ARRAY[d.event]) AND e.payload IS NOT NULL)
        AND NOT EXISTS (SELECT 1 FROM {p}deliveries o
          WHERE o.event = ANY (ARRAY[d.event]) AND o.subscription = ANY (ARRAY[d.subscription]) AND o.state = 'pending')
      ORDER BY d.created_at, d.id LIMIT p_limit);
  END IF;
  more := p_delivery IS NULL AND cardinality(v_found) >= p_limit;
  PERFORM 1 FROM (
    SELECT DISTINCT d.event FROM {p}deliveries d WHERE d.id = ANY (v_found) ORDER BY 1) AS n
  CROSS JOIN LATERAL (SELECT 1 FROM {p}events e WHERE e.pk = n.event FOR NO KEY UPDATE) AS held;
  -- An event that is a dead letter twice is sent again once.
  SELECT array_agg(a.event ORDER BY a.rank), array_agg(a.subscription ORDER BY a.rank), array_agg(a.lane ORDER BY a.rank)
  INTO v_events, v_subscriptions, v_lanes
  FROM (
    SELECT d.event, d.subscription, min(d.lane) AS lane, min(f.no) AS rank
    FROM unnest(v_found) WITH ORDINALITY AS f (id, no)
    JOIN {p}deliveries d ON d.id = ANY (ARRAY[f.id])
    JOIN {p}events e ON e.pk = ANY (ARRAY[d.event])
    WHERE e.payload IS NOT NULL
      AND (p_delivery IS NOT NULL OR d.state IN ('exhausted', 'refused', 'gone', 'cancelled'))
      AND EXISTS (SELECT 1 FROM {p}subscriptions s WHERE s.id = ANY (ARRAY[d.subscription]))
      AND NOT EXISTS (SELECT 1 FROM {p}deliveries o
        WHERE o.event = ANY (ARRAY[d.event]) AND o.subscription = ANY (ARRAY[d.subscription]) AND o.state = 'pending')
    GROUP BY d.event, d.subscription) AS a;
  made := coalesce(cardinality(v_events), 0);
  IF made = 0 THEN
    RETURN;
  END IF;
  -- Time-ordered ids (RFC 9562 section 5.7). Made at one instant, they are listed in the order of their events.
  PERFORM {p}add_1(n.ids, v_events, v_subscriptions, v_lanes, array_fill(v_now, ARRAY[made::integer]),
    array_fill(v_now, ARRAY[made::integer]), true)
  FROM (
    SELECT array_agg(r.id ORDER BY r.id) AS ids FROM (
      SELECT (lpad(to_hex(greatest(v_now, 0) / 1000), 12, '0') || '7'
        || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid AS id
      FROM generate_series(1, made)) AS r) AS n;
  UPDATE {p}deliveries AS d SET state = 'replayed'
  FROM unnest(v_events, v_subscriptions) AS u (event, subscription)
  WHERE d.event = ANY (ARRAY[u.event]) AND d.subscription = ANY (ARRAY[u.subscription])
    AND d.state IN ('exhausted', 'refused', 'gone', 'cancelled');
END
$body$;

-- Some attempts of these deliveries, and how many.
CREATE FUNCTION {p}delete_attempts_1(p_seqs bigint[], p_limit bigint) RETURNS bigint LANGUAGE plpgsql AS $body$
DECLARE
  v_count bigint;
BEGIN
  DELETE FROM {p}attempts AS a USING (
    SELECT o.delivery, o.lease FROM unnest(p_seqs) AS u (seq)
    CROSS JOIN LATERAL (SELECT t.delivery, t.lease FROM {p}attempts t WHERE t.delivery = u.seq) AS o
    LIMIT p_limit) AS n
  WHERE a.delivery = ANY (ARRAY[n.delivery]) AND a.lease = ANY (ARRAY[n.lease]);
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END
$body$;

-- Attempts of deliveries that ended long enough ago.
CREATE FUNCTION {p}prune_attempts_1(p_now bigint, p_age bigint, p_limit bigint, OUT pruned bigint, OUT is_last boolean)
LANGUAGE plpgsql AS $body$
#variable_conflict use_column
DECLARE
  v_before bigint := {p}now_1(p_now) - p_age;
  v_ids uuid[];
  v_seqs bigint[];
BEGIN
  SELECT array_agg(b.id), array_agg(b.seq) INTO v_ids, v_seqs FROM (
    SELECT d.id, d.seq FROM {p}deliveries d
    WHERE d.pruned IN (0, 2) AND d.finished_at <= v_before LIMIT p_limit FOR UPDATE SKIP LOCKED) AS b;
  pruned := 0;
  is_last := v_ids IS NULL;
  IF is_last THEN
    RETURN;
  END IF;
  pruned := {p}delete_attempts_1(v_seqs, p_limit);
  UPDATE {p}deliveries AS d SET pruned = d.pruned | 1::smallint
  WHERE d.id = ANY (v_ids) AND NOT EXISTS (SELECT 1 FROM {p}attempts t WHERE t.delivery = ANY (ARRAY[d.seq]));
END
$body$;

-- Payloads of events whose last delivery ended long enough ago, or that were inserted then without one.
--
-- The events are held before it is asked what is pending: none is replayed meanwhile.
CREATE FUNCTION {p}prune_payloads_1(p_now bigint, p_age bigint, p_limit bigint, OUT pruned bigint, OUT is_last boolean)
LANGUAGE plpgsql AS $body$
#variable_conflict use_column
DECLARE
  v_before bigint := {p}now_1(p_now) - p_age;
  v_ids uuid[];
  v_events bigint[];
  v_count bigint;
BEGIN
  SELECT array_agg(b.id), array_agg(DISTINCT b.event) INTO v_ids, v_events FROM (
    SELECT d.id, d.event FROM {p}deliveries d
    WHERE d.pruned IN (0, 1) AND d.finished_at <= v_before LIMIT p_limit FOR UPDATE SKIP LOCKED) AS b;
  pruned := 0;
  is_last := v_ids IS NULL;
  IF NOT is_last THEN
    PERFORM 1 FROM {p}events e WHERE e.pk = ANY (v_events) ORDER BY e.pk FOR NO KEY UPDATE;
    -- An event whose last delivery did not end in time is seen to when that one is.
    UPDATE {p}events AS e SET payload = NULL, attributes = NULL
    WHERE e.pk = ANY (v_events) AND e.payload IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM {p}deliveries d
        WHERE d.event = ANY (ARRAY[e.pk]) AND (d.finished_at IS NULL OR d.finished_at > v_before));
    GET DIAGNOSTICS pruned = ROW_COUNT;
    UPDATE {p}deliveries AS d SET pruned = d.pruned | 2::smallint WHERE d.id = ANY (v_ids);
  END IF;
  UPDATE {p}events AS e SET payload = NULL, attributes = NULL
  WHERE e.pk = ANY (ARRAY(
    SELECT o.pk FROM {p}events o WHERE o.unwanted_at <= v_before AND o.payload IS NOT NULL
    LIMIT p_limit - pruned FOR UPDATE SKIP LOCKED));
  GET DIAGNOSTICS v_count = ROW_COUNT;
  pruned := pruned + v_count;
END
$body$;

-- Deliveries that ended long enough ago with their attempts, and the events that have none left.
CREATE FUNCTION {p}prune_deliveries_1(p_now bigint, p_age bigint, p_limit bigint, OUT pruned bigint, OUT is_last boolean)
LANGUAGE plpgsql AS $body$
#variable_conflict use_column
DECLARE
  v_before bigint := {p}now_1(p_now) - p_age;
  v_ids uuid[];
  v_seqs bigint[];
  v_events bigint[];
  v_count bigint;
  v_left bigint := p_limit;
BEGIN
  SELECT array_agg(b.id), array_agg(b.seq), array_agg(DISTINCT b.event) INTO v_ids, v_seqs, v_events FROM (
    SELECT d.id, d.seq, d.event FROM {p}deliveries d
    WHERE d.pruned IN (0, 1, 2, 3) AND d.finished_at <= v_before LIMIT p_limit FOR UPDATE SKIP LOCKED) AS b;
  pruned := 0;
  is_last := v_ids IS NULL;
  IF NOT is_last THEN
    PERFORM 1 FROM {p}events e WHERE e.pk = ANY (v_events) ORDER BY e.pk FOR UPDATE;
    pruned := {p}delete_attempts_1(v_seqs, p_limit);
    DELETE FROM {p}deliveries AS d
    WHERE d.id = ANY (v_ids) AND NOT EXISTS (SELECT 1 FROM {p}attempts t WHERE t.delivery = ANY (ARRAY[d.seq]));
    GET DIAGNOSTICS v_count = ROW_COUNT;
    pruned := pruned + v_count;
    DELETE FROM {p}events AS e
    WHERE e.pk = ANY (v_events) AND NOT EXISTS (SELECT 1 FROM {p}deliveries d WHERE d.event = ANY (ARRAY[e.pk]));
    GET DIAGNOSTICS v_count = ROW_COUNT;
    pruned := pruned + v_count;
    v_left := v_left - v_count;
  END IF;
  DELETE FROM {p}events AS e WHERE e.pk = ANY (ARRAY(
    SELECT o.pk FROM {p}events o WHERE o.unwanted_at <= v_before LIMIT v_left FOR UPDATE SKIP LOCKED));
  GET DIAGNOSTICS v_count = ROW_COUNT;
  pruned := pruned + v_count;
END
$body$;

-- A number given on first sight is the time, so that it is greater than any before the event was pruned.
CREATE FUNCTION {p}reserve_1(
  p_source text, p_id text, p_now bigint, p_lease bigint, p_kept bigint, OUT lease bigint, OUT is_committed boolean
) LANGUAGE plpgsql AS $body$
#variable_conflict use_column
DECLARE
  v_now bigint := {p}now_1(p_now);
BEGIN
  INSERT INTO {p}inbox AS i (source, id, lease, lease_until, keep_until)
  VALUES (p_source, p_id, greatest(v_now, 1), {p}later_1(v_now, p_lease), {p}later_1(v_now, p_kept))
  ON CONFLICT (source, id) DO UPDATE
  SET lease = greatest(i.lease + 1, excluded.lease), lease_until = excluded.lease_until, committed = false,
    keep_until = excluded.keep_until
  WHERE CASE WHEN i.committed THEN i.keep_until ELSE i.lease_until END <= v_now
  RETURNING i.lease INTO lease;
  IF lease IS NULL THEN
    SELECT i.committed INTO is_committed FROM {p}inbox i WHERE i.source = p_source AND i.id = p_id;
  END IF;
END
$body$;

-- Keeps requests, and tells by their places which were new. One that is done and remembered for long enough is new again.
--
-- Requests come sorted by key, so that two batches wait for each other in one direction only, and no key comes twice.
CREATE FUNCTION {p}keep_1(
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

-- Leases up to p_limit due requests of a queue, or gives them up where they were taken p_most times, and returns them; what
-- others hold is skipped. The number of a first lease is the time, so that it is greater than any before the request was
-- forgotten.
CREATE FUNCTION {p}take_1(
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

-- Has leases of requests end, and tells by their places which were still good.
CREATE FUNCTION {p}extend_taken_1(p_sources text[], p_ids text[], p_leases bigint[], p_now bigint, p_lease bigint)
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

-- Writes what becomes of taken requests, and tells by their places which leases were still good.
CREATE FUNCTION {p}settle_taken_1(
  p_sources text[], p_ids text[], p_leases bigint[], p_now bigint[], p_conclusions text[], p_after bigint[],
  p_reasons text[]
) RETURNS bigint[] LANGUAGE plpgsql AS $body$
DECLARE
  v_now bigint := {p}now_1(NULL);
  v_done bigint[];
BEGIN
  WITH done AS (
    UPDATE {p}intake AS k
    SET lease = k.lease + 1,
      due_at = CASE WHEN u.conclusion IN ('retry', 'hand_back') THEN {p}later_1(coalesce(u.now, v_now), u.after) END,
      given_up_at = CASE WHEN u.conclusion = 'give_up' THEN coalesce(u.now, v_now) END,
      keep_until = CASE WHEN u.conclusion = 'done' THEN {p}later_1(coalesce(u.now, v_now), u.after) END,
      attempts = CASE WHEN u.conclusion = 'hand_back' THEN greatest(k.attempts - 1, 0) ELSE k.attempts END,
      first_attempt_at = CASE WHEN u.conclusion <> 'hand_back' OR k.attempts > 1 THEN k.first_attempt_at END,
      reason = CASE u.conclusion WHEN 'done' THEN '' WHEN 'hand_back' THEN k.reason ELSE u.reason END,
      body = CASE WHEN u.conclusion <> 'done' THEN k.body END
    FROM unnest(p_sources, p_ids, p_leases, p_now, p_conclusions, p_after, p_reasons) WITH ORDINALITY
      AS u (source, id, lease, now, conclusion, after, reason, no)
    WHERE k.source = ANY (ARRAY[u.source]) AND k.id = ANY (ARRAY[u.id]) AND k.lease = u.lease AND k.due_at IS NOT NULL
    RETURNING u.no)
  SELECT coalesce(array_agg(done.no), '{}') INTO v_done FROM done;
  RETURN v_done;
END
$body$;

-- Each function finds its tables wherever the caller's search path leads, and walks indexes whatever the planner knows of the
-- tables: a plan made while they were empty is used when they are not. Compiling such a plan, or sharing it between
-- workers, would take longer than running it.
DO $body$
DECLARE
  v_function regproc;
  v_name text;
BEGIN
  FOREACH v_name IN ARRAY ARRAY['insert_1', 'look_1', 'claim_1', 'extend_1', 'settle_1', 'cancel_1',
    'add_subscription_1', 'delete_subscription_1', 'expunge_1', 'replay_1', 'prune_attempts_1', 'prune_payloads_1', 'prune_deliveries_1',
    'reserve_1', 'keep_1', 'take_1', 'extend_taken_1', 'settle_taken_1']
  LOOP
    v_function := ('{p}' || v_name)::regproc;
    EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', v_function, current_schema());
    EXECUTE format('ALTER FUNCTION %s SET plan_cache_mode = force_generic_plan', v_function);
    EXECUTE format('ALTER FUNCTION %s SET max_parallel_workers_per_gather = 0', v_function);
    EXECUTE format('ALTER FUNCTION %s SET enable_seqscan = off', v_function);
    EXECUTE format('ALTER FUNCTION %s SET enable_bitmapscan = off', v_function);
    EXECUTE format('ALTER FUNCTION %s SET enable_mergejoin = off', v_function);
    EXECUTE format('ALTER FUNCTION %s SET jit = off', v_function);
  END LOOP;
END
$body$;

INSERT INTO {p}schema (id, version, min_code_version) VALUES (1, 1, 1);
