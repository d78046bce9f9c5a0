-- Settings of the functions that statements call; the functions that these call run under the same settings.
--
-- Each function finds its tables whatever the search path of its caller is. It seeks in indexes whatever the
-- planner knows of the tables, because a plan that was made while they were empty is also used when they are
-- full. Compiling a plan or sharing it between workers would take longer than running it.
--
-- For the same reason functions look rows up by = ANY (ARRAY[..]) where a join would use =: all that the
-- planner can make of it is one index seek per row, also while a table is so small that it would rather read
-- all of it.
DO $body$
DECLARE
  v_function regproc;
  v_name text;
BEGIN
  FOREACH v_name IN ARRAY ARRAY['insert_1', 'look_1', 'claim_1', 'extend_1', 'settle_1', 'cancel_1', 'cancel_all_1', 'expunge_1',
    'expire_1', 'find_orphans_1', 'replay_1', 'missing_payloads_1', 'add_payloads_1', 'add_subscription_1', 'prune_attempts_1',
    'prune_payloads_1', 'prune_deliveries_1',
    'reserve_1', 'store_requests_1', 'lease_requests_1', 'extend_requests_1', 'settle_requests_1']
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
