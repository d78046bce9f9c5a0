-- Events that a receiver handles once.

-- name: commit
-- An event is remembered for ?5 microseconds after it was handled, unless another reservation followed this
-- one.
UPDATE {p}inbox SET committed = true, keep_until = {later(?4, ?5)}
WHERE source = ?1 AND id = ?2 AND lease = ?3 RETURNING lease;

-- name: release
-- The row stays, so that the number of the next lease is greater.
UPDATE {p}inbox SET lease = lease + 1, lease_until = -9223372036854775808
WHERE source = ?1 AND id = ?2 AND lease = ?3 AND NOT committed RETURNING lease;

-- name: prune_handled
-- The subquery computes the time once. A function that is called for each row could not be searched for in
-- the index.
DELETE FROM {p}inbox WHERE (source, id) IN (
  SELECT source, id FROM {p}inbox WHERE keep_until <= (SELECT {now(?1)}) ORDER BY keep_until LIMIT ?2{skip_locked})
RETURNING lease;
