-- Deletes up to p_limit attempts of these deliveries, and returns how many it deleted.
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

-- Deletes attempts of deliveries that finished at least p_age ago: those of up to p_limit deliveries, and at
-- most p_limit attempts. pruned is how many; is_last is true when no such delivery was found. Rows that
-- others have locked are skipped.
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

-- Deletes the payloads, in all versions, of events whose last delivery finished at least p_age ago, and of
-- events without deliveries that were inserted then. An event of which another delivery is pending or
-- finished later keeps its payload until that one is old enough.
--
-- The events are locked before their deliveries are looked at, so none is replayed meanwhile.
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
    WITH done AS (
      UPDATE {p}events AS e SET payload = NULL, attributes = NULL
      WHERE e.pk = ANY (v_events) AND e.payload IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM {p}deliveries d
          WHERE d.event = ANY (ARRAY[e.pk]) AND (d.finished_at IS NULL OR d.finished_at > v_before))
      RETURNING e.pk),
    older AS (UPDATE {p}payloads AS p SET payload = NULL FROM done WHERE p.event = ANY (ARRAY[done.pk]))
    SELECT count(*) INTO pruned FROM done;
    UPDATE {p}deliveries AS d SET pruned = d.pruned | 2::smallint WHERE d.id = ANY (v_ids);
  END IF;
  WITH done AS (
    UPDATE {p}events AS e SET payload = NULL, attributes = NULL
    WHERE e.pk = ANY (ARRAY(
      SELECT o.pk FROM {p}events o WHERE o.unwanted_at <= v_before AND o.payload IS NOT NULL
      LIMIT p_limit - pruned FOR UPDATE SKIP LOCKED))
    RETURNING e.pk),
  older AS (UPDATE {p}payloads AS p SET payload = NULL FROM done WHERE p.event = ANY (ARRAY[done.pk]))
  SELECT count(*) INTO v_count FROM done;
  pruned := pruned + v_count;
END
$body$;

-- Deletes deliveries that finished at least p_age ago with their attempts, and events that have no delivery
-- left. A delivery is deleted after its last attempt, which may take another call.
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
    WITH done AS (
      DELETE FROM {p}events AS e
      WHERE e.pk = ANY (v_events) AND NOT EXISTS (SELECT 1 FROM {p}deliveries d WHERE d.event = ANY (ARRAY[e.pk]))
      RETURNING e.pk),
    older AS (DELETE FROM {p}payloads AS p USING done WHERE p.event = ANY (ARRAY[done.pk]))
    SELECT count(*) INTO v_count FROM done;
    pruned := pruned + v_count;
    v_left := v_left - v_count;
  END IF;
  WITH done AS (
    DELETE FROM {p}events AS e WHERE e.pk = ANY (ARRAY(
      SELECT o.pk FROM {p}events o WHERE o.unwanted_at <= v_before LIMIT v_left FOR UPDATE SKIP LOCKED))
    RETURNING e.pk),
  older AS (DELETE FROM {p}payloads AS p USING done WHERE p.event = ANY (ARRAY[done.pk]))
  SELECT count(*) INTO v_count FROM done;
  pruned := pruned + v_count;
END
$body$;
