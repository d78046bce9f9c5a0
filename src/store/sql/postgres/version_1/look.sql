-- Finds the subscriptions of these contracts that have something to claim: from p_from on, then from the
-- first one to p_to, which lies before p_from. wait is how long until another subscription has something to
-- claim; it is 0 when p_limit left one out. is_whole is false then. waited has for each contract how long the
-- delivery that waits longest could have been claimed, among those of the subscriptions that were seen.
-- organizations and failing have the organization of each that is ready, and whether its endpoint fails.
--
-- Two index seeks per subscription that has pending deliveries, however many deliveries there are: one finds
-- it with the first of its new deliveries, if it has any, and one its first retry.
CREATE FUNCTION {p}look_1(
  p_contracts text[], p_now bigint, p_limit bigint, p_from uuid, p_to uuid,
  OUT ready uuid[], OUT organizations text[], OUT failing boolean[], OUT wait bigint, OUT waited bigint[],
  OUT is_whole boolean
) LANGUAGE plpgsql AS $body$
DECLARE
  v_now bigint := {p}now_1(p_now);
  v_from uuid := p_from;
  v_to uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
  v_seen record;
BEGIN
  ready := '{}';
  organizations := '{}';
  failing := '{}';
  waited := array_fill(NULL::bigint, ARRAY[cardinality(p_contracts)]);
  is_whole := false;
  LOOP
    FOR v_seen IN
      WITH RECURSIVE hop AS (
        (SELECT d.subscription, d.due_at FROM {p}deliveries d
          WHERE d.due_at IS NOT NULL AND d.subscription >= v_from AND d.subscription <= v_to
          ORDER BY d.subscription, d.is_retry, d.due_at LIMIT 1)
        UNION ALL
        SELECT n.subscription, n.due_at FROM hop
        CROSS JOIN LATERAL (
          SELECT d.subscription, d.due_at FROM {p}deliveries d
          WHERE d.due_at IS NOT NULL AND d.subscription > hop.subscription AND d.subscription <= v_to
          ORDER BY d.subscription, d.is_retry, d.due_at LIMIT 1) AS n)
      SELECT s.id, s.organization, s.health <> '' AS is_failing, greatest(s.paused_until, least(hop.due_at, (
        SELECT r.due_at FROM {p}deliveries r
        WHERE r.subscription = s.id AND r.is_retry AND r.due_at IS NOT NULL ORDER BY r.due_at LIMIT 1))) AS ready_at,
        array_position(p_contracts, s.contract) AS place
      FROM hop JOIN {p}subscriptions s ON s.id = ANY (ARRAY[hop.subscription])
      WHERE s.status = 'enabled' AND s.contract = ANY (p_contracts)
    LOOP
      IF v_seen.ready_at > v_now THEN
        wait := least(wait, v_seen.ready_at - v_now);
      ELSIF cardinality(ready) < p_limit THEN
        ready := ready || v_seen.id;
        organizations := organizations || v_seen.organization;
        failing := failing || v_seen.is_failing;
        waited[v_seen.place] := greatest(waited[v_seen.place], v_now - v_seen.ready_at);
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
