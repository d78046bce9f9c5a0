-- Reserves an event id of a source, unless it is reserved or committed already. lease is then the number of
-- the reservation; otherwise it is null, and is_committed tells which of the two it is.
--
-- The number of a first reservation is the time, so it is greater than any that the id had before it was
-- pruned.
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
