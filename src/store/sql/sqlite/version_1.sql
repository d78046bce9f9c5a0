-- Tables of hookwire in SQLite, version 1. {p} is the prefix.
--
-- Ids are the 16 bytes of a UUID. Instants are microseconds since 1970 in UTC, durations microseconds.
--
-- A delivery has a row in `directory` from its insert until retention deletes it. Meanwhile it is a row of
-- `pending`, which is small, or of `history`, to which it is moved when it ends. The view `deliveries` shows
-- all of them as one table.

CREATE TABLE {p}schema (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  version INTEGER NOT NULL,
  min_code_version INTEGER NOT NULL
) STRICT;

-- The columns that a look and an insert read stand before the long texts. `paused_since` is when the last
-- pause began. Pauses with less than a day between them count as one.
CREATE TABLE {p}subscriptions (
  id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  organization TEXT NOT NULL,
  contract TEXT NOT NULL,
  version TEXT NOT NULL,
  status TEXT NOT NULL,
  disabled_at INTEGER,
  paused_until INTEGER NOT NULL DEFAULT 0,
  paused_since INTEGER,
  created_at INTEGER NOT NULL,
  health TEXT NOT NULL,
  url TEXT NOT NULL,
  filter TEXT NOT NULL,
  secrets TEXT NOT NULL,
  options TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX {p}subscriptions_organization ON {p}subscriptions (organization, created_at);
CREATE INDEX {p}subscriptions_disabled ON {p}subscriptions (disabled_at) WHERE disabled_at IS NOT NULL;
CREATE INDEX {p}subscriptions_paused ON {p}subscriptions (paused_since) WHERE paused_since IS NOT NULL;

-- The edition of an organization's subscriptions. It is a random number, because a counter could be set back
-- by a rollback or a backup.
CREATE TABLE {p}editions (
  organization TEXT NOT NULL PRIMARY KEY,
  edition INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- REPLACE deletes a row of the same id, which may be another organization's, and fires no trigger for that.
CREATE TRIGGER {p}edition_before_insert BEFORE INSERT ON {p}subscriptions BEGIN
  INSERT INTO {p}editions (organization, edition)
  SELECT s.organization, random() FROM {p}subscriptions s WHERE s.id = new.id AND s.organization <> new.organization
  ON CONFLICT (organization) DO UPDATE SET edition = excluded.edition;
END;
CREATE TRIGGER {p}edition_before_update BEFORE UPDATE OF id ON {p}subscriptions WHEN old.id <> new.id BEGIN
  INSERT INTO {p}editions (organization, edition)
  SELECT s.organization, random() FROM {p}subscriptions s WHERE s.id = new.id
  ON CONFLICT (organization) DO UPDATE SET edition = excluded.edition;
END;
CREATE TRIGGER {p}edition_after_insert AFTER INSERT ON {p}subscriptions BEGIN
  INSERT INTO {p}editions (organization, edition) VALUES (new.organization, random())
  ON CONFLICT (organization) DO UPDATE SET edition = excluded.edition;
END;
CREATE TRIGGER {p}edition_after_delete AFTER DELETE ON {p}subscriptions BEGIN
  INSERT INTO {p}editions (organization, edition) VALUES (old.organization, random())
  ON CONFLICT (organization) DO UPDATE SET edition = excluded.edition;
END;
CREATE TRIGGER {p}edition_after_update AFTER UPDATE OF id, organization, contract, version, filter ON {p}subscriptions
WHEN (old.id, old.organization, old.contract, old.version, old.filter)
  IS NOT (new.id, new.organization, new.contract, new.version, new.filter)
BEGIN
  INSERT INTO {p}editions (organization, edition) VALUES (old.organization, random()), (new.organization, random())
  ON CONFLICT (organization) DO UPDATE SET edition = excluded.edition;
END;

-- Digests of secrets, so that no two subscriptions use one secret. `place` is the order in which it got them;
-- those before the secrets that it has are deleted.
CREATE TABLE {p}secrets (
  digest BLOB NOT NULL PRIMARY KEY,
  subscription BLOB NOT NULL,
  place INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX {p}secrets_subscription ON {p}secrets (subscription, place);

-- `version`, `digest` and `payload` are those of the newest version. `unwanted_at` is set on an event that
-- was inserted without deliveries. The payload is the last column, because SQLite reads all of its pages to
-- reach a column after it.
CREATE TABLE {p}events (
  pk INTEGER PRIMARY KEY,
  organization TEXT NOT NULL,
  contract TEXT NOT NULL,
  id TEXT NOT NULL,
  version TEXT NOT NULL,
  type TEXT NOT NULL,
  digest BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  unwanted_at INTEGER,
  attributes TEXT,
  trace TEXT,
  payload BLOB,
  UNIQUE (organization, contract, id)
) STRICT;
CREATE INDEX {p}events_organization ON {p}events (organization, pk);
CREATE INDEX {p}events_unwanted ON {p}events (unwanted_at) WHERE unwanted_at IS NOT NULL;
CREATE INDEX {p}events_unwanted_payload ON {p}events (unwanted_at)
  WHERE unwanted_at IS NOT NULL AND payload IS NOT NULL;

-- Payloads of an event in other versions than the newest. A payload that was deleted leaves its digest.
-- Without a digest, the event's type does not exist in the version. Like every table that is written with
-- events, it has no row ids, so that last_insert_rowid() stays the number of an event.
CREATE TABLE {p}payloads (
  event INTEGER NOT NULL,
  version TEXT NOT NULL,
  digest BLOB,
  bytes BLOB,
  PRIMARY KEY (event, version)
) STRICT, WITHOUT ROWID;

-- All deliveries in the order of a subscription's list, with an index in the order of an event's list.
CREATE TABLE {p}directory (
  subscription BLOB NOT NULL,
  id BLOB NOT NULL CHECK (length(id) = 16),
  event INTEGER NOT NULL,
  PRIMARY KEY (subscription, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX {p}directory_event ON {p}directory (event, subscription);

-- `due_at` is set only while a delivery waits for nothing but time. A delivery that is blocked by another of
-- its ordering key has none, and so is in no index that a look or a claim reads. While a delivery is leased,
-- `due_at` is the end of the lease. `lease` is odd from a claim to its settlement, which makes it even.
-- `version` is NULL for the event's newest. `place` is the order of
-- insertion among the deliveries of one subscription and key. `kept_since` is since when a fault on this side
-- keeps a delivery back: the first time that it was handed back with a delay since its last attempt.
-- `is_retry` is 1 once an attempt was made: a claim takes new deliveries before retries.
CREATE TABLE {p}pending (
  id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  subscription BLOB NOT NULL,
  event INTEGER NOT NULL,
  lease INTEGER NOT NULL DEFAULT 0,
  due_at INTEGER,
  attempts INTEGER NOT NULL DEFAULT 0,
  first_attempt_at INTEGER,
  created_at INTEGER NOT NULL,
  version TEXT,
  ordering_key TEXT,
  place INTEGER,
  kept_since INTEGER,
  is_retry INTEGER NOT NULL DEFAULT 0 CHECK (is_retry IN (0, 1))
) STRICT, WITHOUT ROWID;
CREATE INDEX {p}pending_kept ON {p}pending (kept_since) WHERE kept_since IS NOT NULL;
CREATE INDEX {p}pending_due ON {p}pending (subscription, is_retry, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX {p}pending_order ON {p}pending (subscription, ordering_key, place) WHERE ordering_key IS NOT NULL;

-- Deliveries that ended, with the attempt that ended them. The attempt's columns, from `number` on, are NULL
-- if there was none or retention has deleted it. `pruned` tells which parts retention has handled: 1 the
-- attempts, 2 the payload, 3 both.
--
-- SQLite evaluates an index's WHERE for each insert; testing 'delivered' first ends it early for most rows.
CREATE TABLE {p}history (
  id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  subscription BLOB NOT NULL,
  event INTEGER NOT NULL,
  state TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  finished_at INTEGER NOT NULL,
  pruned INTEGER NOT NULL DEFAULT 0,
  version TEXT,
  ordering_key TEXT,
  note TEXT,
  is_test INTEGER,
  number INTEGER,
  started_at INTEGER,
  duration INTEGER,
  dns INTEGER,
  connect INTEGER,
  tls INTEGER,
  first_byte INTEGER,
  total INTEGER,
  status INTEGER,
  retry_after INTEGER,
  error TEXT,
  reason TEXT,
  head_status INTEGER,
  excerpt TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX {p}history_finished ON {p}history (pruned, finished_at);
CREATE INDEX {p}history_dead ON {p}history (subscription, created_at)
  WHERE state <> 'delivered' AND state <> 'replayed' AND state <> 'discarded';
CREATE INDEX {p}history_letters ON {p}history (subscription, state, id) WHERE state <> 'delivered';

-- The attempts after which a delivery was still pending.
CREATE TABLE {p}attempts (
  pk INTEGER PRIMARY KEY,
  delivery BLOB NOT NULL,
  number INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  duration INTEGER NOT NULL,
  dns INTEGER,
  connect INTEGER,
  tls INTEGER,
  first_byte INTEGER,
  total INTEGER NOT NULL,
  status INTEGER,
  retry_after INTEGER,
  error TEXT,
  reason TEXT,
  head_status INTEGER,
  excerpt TEXT NOT NULL
) STRICT;
CREATE INDEX {p}attempts_delivery ON {p}attempts (delivery, number);

CREATE VIEW {p}deliveries AS
SELECT l.id, l.subscription, l.event, coalesce(h.state, 'pending') AS state, coalesce(h.attempts, p.attempts) AS attempts,
  p.due_at, coalesce(h.created_at, p.created_at) AS created_at, h.finished_at, coalesce(h.version, p.version) AS version,
  coalesce(h.ordering_key, p.ordering_key) AS ordering_key, h.note, h.is_test
FROM {p}directory l LEFT JOIN {p}pending p ON p.id = l.id LEFT JOIN {p}history h ON h.id = l.id;

CREATE TABLE {p}inbox (
  source TEXT NOT NULL,
  id TEXT NOT NULL,
  lease INTEGER NOT NULL,
  lease_until INTEGER NOT NULL,
  committed INTEGER NOT NULL DEFAULT 0,
  keep_until INTEGER NOT NULL,
  PRIMARY KEY (source, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX {p}inbox_keep_until ON {p}inbox (keep_until);

-- A request waits or is leased (`due_at`), was given up (`given_up_at`), or is done (`keep_until`).
-- `was_due_at` keeps the order of a lease, because RETURNING sees only new values. The body is the last
-- column, because SQLite reads all of its pages to reach a column after it.
CREATE TABLE {p}intake (
  pk INTEGER PRIMARY KEY,
  source TEXT NOT NULL,
  id TEXT NOT NULL,
  queue TEXT NOT NULL,
  event TEXT NOT NULL,
  proof TEXT NOT NULL,
  received_at INTEGER NOT NULL,
  signed_at INTEGER,
  lease INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0,
  due_at INTEGER,
  was_due_at INTEGER,
  first_attempt_at INTEGER,
  given_up_at INTEGER,
  keep_until INTEGER,
  reason TEXT NOT NULL DEFAULT '',
  body BLOB,
  UNIQUE (source, id),
  CHECK ((due_at IS NOT NULL) + (given_up_at IS NOT NULL) + (keep_until IS NOT NULL) = 1)
) STRICT;
CREATE INDEX {p}intake_due ON {p}intake (queue, due_at, pk) WHERE due_at IS NOT NULL;
CREATE INDEX {p}intake_given_up ON {p}intake (queue, source, id) WHERE given_up_at IS NOT NULL;
CREATE INDEX {p}intake_expiring ON {p}intake (queue, given_up_at) WHERE given_up_at IS NOT NULL;
CREATE INDEX {p}intake_keep_until ON {p}intake (keep_until) WHERE keep_until IS NOT NULL;

INSERT INTO {p}schema (id, version, min_code_version) VALUES (1, 1, 1);
