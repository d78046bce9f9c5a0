-- Tables of hookwire, version 1. {p} stands for the prefix.
--
-- Instants are microseconds since 1970 in UTC, durations are microseconds.
--
-- An order group is what the deliveries of one subscription with one ordering key have in common: a 64-bit
-- hash of both. Two keys that share a hash are sent in one order, which is stricter than asked for and does
-- no harm. The head of an order group is the pending delivery that was begun already, or else the one that
-- was inserted first: ORDER BY (lease = 0), seq. The others are blocked until the head has finished.

-- identity tells these tables from others of the same names in another database. A replica and a restored
-- dump have the same.
CREATE TABLE {p}schema (
  id smallint PRIMARY KEY CHECK (id = 1),
  version bigint NOT NULL,
  min_code_version bigint NOT NULL,
  identity uuid NOT NULL DEFAULT gen_random_uuid()
);

-- paused_since is when the last pause began. Pauses with less than a day between them count as one.
CREATE TABLE {p}subscriptions (
  id uuid PRIMARY KEY,
  organization text COLLATE "C" NOT NULL,
  contract text COLLATE "C" NOT NULL,
  version text COLLATE "C" NOT NULL,
  url text NOT NULL,
  filter text NOT NULL,
  secrets text NOT NULL,
  status text NOT NULL,
  disabled_at bigint,
  paused_until bigint NOT NULL DEFAULT 0,
  paused_since bigint,
  options text NOT NULL,
  health text NOT NULL,
  created_at bigint NOT NULL
);
CREATE INDEX {p}subscriptions_organization ON {p}subscriptions (organization, created_at, id);
CREATE INDEX {p}subscriptions_disabled ON {p}subscriptions (disabled_at) WHERE disabled_at IS NOT NULL;
CREATE INDEX {p}subscriptions_paused ON {p}subscriptions (paused_since) WHERE paused_since IS NOT NULL;

-- An organization's edition is the sum of its rows here. Each change of a subscription adds a row with a
-- random number. So no change waits for another, as it would for a row that all of them update, and no
-- edition returns, as that of a counter could after a backup.
CREATE TABLE {p}editions (
  organization text COLLATE "C",
  edition bigint,
  PRIMARY KEY (organization, edition)
);

-- Digests of secrets, so that no two subscriptions use one secret. place is the order in which a subscription
-- got its secrets; those before the secrets that it has are deleted.
CREATE TABLE {p}secrets (
  digest bytea PRIMARY KEY,
  subscription uuid NOT NULL REFERENCES {p}subscriptions (id) ON DELETE CASCADE,
  place bigint NOT NULL
);
CREATE INDEX {p}secrets_subscription ON {p}secrets (subscription, place);

-- version, digest and payload are those of the newest version. unwanted_at is when an event was inserted that
-- has no deliveries.
CREATE TABLE {p}events (
  pk bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  organization text COLLATE "C" NOT NULL,
  contract text COLLATE "C" NOT NULL,
  version text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  type text NOT NULL,
  digest bytea NOT NULL,
  created_at bigint NOT NULL,
  unwanted_at bigint,
  attributes text,
  trace text,
  payload bytea,
  UNIQUE (organization, contract, id)
);
CREATE INDEX {p}events_organization ON {p}events (organization, pk);
CREATE INDEX {p}events_unwanted ON {p}events (unwanted_at) WHERE unwanted_at IS NOT NULL;
CREATE INDEX {p}events_unwanted_payload ON {p}events (unwanted_at)
  WHERE unwanted_at IS NOT NULL AND payload IS NOT NULL;

-- Payloads of an event in other versions than the newest. A payload that was deleted leaves its digest, in
-- both tables. Without a digest, the event's type does not exist in the version.
CREATE TABLE {p}payloads (
  event bigint NOT NULL,
  version text COLLATE "C" NOT NULL,
  digest bytea,
  payload bytea,
  PRIMARY KEY (event, version)
);

-- version is that of the payload; without one it is the event's newest.
-- due_at is set only while a pending delivery waits for nothing but time. A finished or blocked delivery has
-- none, and so is in no index that a look or a claim reads. While a delivery is leased, due_at is the end of
-- the lease. kept_since is since when a fault on this side keeps a delivery back: the first time that it was
-- handed back with a delay since its last attempt. pruned tells which parts retention has deleted: 1 the
-- attempts, 2 the payload, 3 both.
--
-- Each row is updated at least twice, so vacuum has to run often enough to keep the index on due_at small.
CREATE TABLE {p}deliveries (
  id uuid PRIMARY KEY,
  seq bigint GENERATED ALWAYS AS IDENTITY,
  event bigint NOT NULL,
  subscription uuid NOT NULL,
  version text COLLATE "C",
  order_group bigint,
  lease bigint NOT NULL DEFAULT 0,
  due_at bigint CHECK (due_at IS NULL OR state = 'pending'),
  is_retry boolean NOT NULL DEFAULT false,
  first_attempt_at bigint,
  kept_since bigint,
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
CREATE INDEX {p}deliveries_due ON {p}deliveries (subscription, is_retry, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX {p}deliveries_kept ON {p}deliveries (kept_since) WHERE kept_since IS NOT NULL;
CREATE INDEX {p}deliveries_order ON {p}deliveries (order_group, (lease = 0), seq)
  WHERE order_group IS NOT NULL AND state = 'pending';
CREATE INDEX {p}deliveries_subscription ON {p}deliveries (subscription, id);
CREATE INDEX {p}deliveries_event ON {p}deliveries (event, subscription);
CREATE INDEX {p}deliveries_dead ON {p}deliveries (subscription, created_at, id)
  WHERE state IN ('exhausted', 'refused', 'gone', 'expired', 'cancelled');
CREATE INDEX {p}deliveries_letters ON {p}deliveries (subscription, state, id)
  WHERE state IN ('exhausted', 'refused', 'gone', 'expired', 'cancelled', 'replayed', 'discarded');
CREATE INDEX {p}deliveries_finished ON {p}deliveries (pruned, finished_at) WHERE finished_at IS NOT NULL;

-- delivery is the seq of the delivery, and lease the one that the attempt was settled under. A lease is
-- settled once, so the two are a key. The excerpt is bytes because a response may contain a NUL, which text
-- cannot hold.
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
  reason text,
  head_status bigint,
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

-- A request is in one of three states: it waits or is leased (due_at), was given up (given_up_at), or is done
-- (keep_until). Each row is updated at least twice.
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
CREATE INDEX {p}intake_expiring ON {p}intake (queue, given_up_at) WHERE given_up_at IS NOT NULL;
CREATE INDEX {p}intake_keep_until ON {p}intake (keep_until) WHERE keep_until IS NOT NULL;
