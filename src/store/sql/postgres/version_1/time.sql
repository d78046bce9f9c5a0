-- Returns the caller's time, or the database's clock where the caller gives none. The clock also advances
-- within a transaction.
CREATE FUNCTION {p}now_1(p_now bigint) RETURNS bigint LANGUAGE sql VOLATILE AS $body$
  SELECT coalesce(p_now, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
$body$;

-- Returns an instant plus a duration, at most the end of the year 9999, which is the last instant that can be
-- read back.
CREATE FUNCTION {p}later_1(p_at bigint, p_span bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $body$
  SELECT CASE WHEN p_at + p_span > 253402300799000000 THEN 253402300799000000 ELSE p_at + p_span END
$body$;
