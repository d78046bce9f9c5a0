-- Adds a subscription, which holds a secret if p_digest is given, unless its organization has p_limit
-- already. Returns 'done', or which rule kept it from being added: 'exists', 'full' or 'secret in use'.
-- Nothing was written then.
--
-- Calls for one organization wait for each other, so that none exceeds the limit because of another.
CREATE FUNCTION {p}add_subscription_1(
  p_id uuid, p_organization text, p_contract text, p_version text, p_url text, p_filter text, p_secrets text, p_status text, p_disabled_at bigint,
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
  INSERT INTO {p}subscriptions
    (id, organization, contract, version, url, filter, secrets, status, disabled_at, options, health, created_at)
  VALUES (p_id, p_organization, p_contract, p_version, p_url, p_filter, p_secrets, p_status, p_disabled_at, p_options, p_health, p_created_at);
  IF p_digest IS NOT NULL THEN
    INSERT INTO {p}secrets (digest, subscription, place) VALUES (p_digest, p_id, 1) ON CONFLICT (digest) DO NOTHING;
    IF NOT FOUND THEN
      DELETE FROM {p}subscriptions s WHERE s.id = p_id;
      RETURN 'secret in use';
    END IF;
  END IF;
  RETURN 'done';
END
$body$;

-- Gives an organization's subscriptions another edition, and deletes what former changes added and nobody has
-- locked. Under other isolation levels than READ COMMITTED a deletion could fail, so later changes do it. The
-- schema is that of the table, whatever the search path of the application is. The function runs with the
-- rights of its caller, because anybody can make a trigger of it on a table of their own.
CREATE FUNCTION {p}change_editions_1() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
  v_organizations text[] := CASE TG_OP
    WHEN 'INSERT' THEN ARRAY[NEW.organization] WHEN 'DELETE' THEN ARRAY[OLD.organization]
    ELSE ARRAY[OLD.organization, NEW.organization] END;
  v_edition bigint := ('x' || left(replace(gen_random_uuid()::text, '-', ''), 15))::bit(60)::bigint;
BEGIN
  EXECUTE format($sql$
    INSERT INTO %I.{p}editions (organization, edition) SELECT DISTINCT o, $2 FROM unnest($1) AS u (o) $sql$, TG_TABLE_SCHEMA)
  USING v_organizations, v_edition;
  IF current_setting('transaction_isolation') = 'read committed' THEN
    EXECUTE format($sql$
      DELETE FROM %1$I.{p}editions WHERE ctid = ANY (ARRAY(
        SELECT e.ctid FROM %1$I.{p}editions e WHERE e.organization = ANY ($1) AND e.edition <> $2
        LIMIT 100 FOR UPDATE SKIP LOCKED)) $sql$, TG_TABLE_SCHEMA)
    USING v_organizations, v_edition;
  END IF;
  RETURN NULL;
END
$body$;

CREATE TRIGGER {p}edition_after_change AFTER INSERT OR DELETE ON {p}subscriptions
FOR EACH ROW EXECUTE FUNCTION {p}change_editions_1();

CREATE TRIGGER {p}edition_after_update AFTER UPDATE ON {p}subscriptions
FOR EACH ROW WHEN ((OLD.id, OLD.organization, OLD.contract, OLD.version, OLD.filter)
  IS DISTINCT FROM (NEW.id, NEW.organization, NEW.contract, NEW.version, NEW.filter))
EXECUTE FUNCTION {p}change_editions_1();
