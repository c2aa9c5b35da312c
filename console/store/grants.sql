-- A shared store: who may do what in its database, and who they are by the database's own word.
--
-- Run it with psql in the store's database, as the login that owns the tables (it migrates the store; it needs
-- CREATEROLE), after that login has started the engine once; run it again after each upgrade. It changes nothing twice.
-- The store's schema must be the first of the search_path. Then make a login for each person and one for the engine:
--     CREATE ROLE alice LOGIN PASSWORD '...';    GRANT headway_store_act TO alice;     -- or …_view, or …_admin
--     CREATE ROLE watcher LOGIN PASSWORD '...';  GRANT headway_store_engine TO watcher;  -- the engine's service unit
--     CREATE ROLE oncall NOLOGIN;                GRANT oncall TO alice;                -- who = ["group:oncall"]
--
-- headway_store_view reads. headway_store_act may also ask: it inserts, and what it inserts carries the login's name
-- whatever a console claims; the engine then asks [[permissions]] before it sends. headway_store_admin may also let
-- loose: thaw, turn live, resume another's plan. headway_store_engine works. Nobody but the owner may change or remove
-- a row of the audit. A superuser counts as the engine. (pg_cron's headway_act is another door.)

BEGIN;
DO $$
DECLARE
    home text := current_schema();
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['view', 'act', 'admin', 'engine'] LOOP
        IF to_regrole('headway_store_' || role) IS NULL THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', 'headway_store_' || role);
        END IF;
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM %I', home, 'headway_store_' || role);
    END LOOP;
    EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', home);
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM PUBLIC', home);
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO headway_store_view, headway_store_engine', home);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO headway_store_view', home);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO headway_store_engine', home);
    EXECUTE format('GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA %I TO headway_store_engine', home);
END $$;
GRANT headway_store_view TO headway_store_act;
GRANT headway_store_act TO headway_store_admin;
REVOKE UPDATE, DELETE ON audit FROM headway_store_engine;
REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM headway_store_engine;
GRANT INSERT ON action, request, plan, plan_step, event, switch, audit TO headway_store_act;
GRANT UPDATE (state, words, changed_seq, ended_us) ON plan TO headway_store_act;
GRANT UPDATE (state, action_key, due_us, ended_us) ON plan_step TO headway_store_act;
GRANT UPDATE ON switch TO headway_store_act;
GRANT USAGE ON SEQUENCE request_id_seq, plan_id_seq, plan_step_id_seq, event_id_seq TO headway_store_act;

-- Who is at the other end: session_user is who signed in, and SET ROLE does not change it.
CREATE OR REPLACE FUNCTION headway_is(wanted text) RETURNS boolean LANGUAGE sql STABLE AS
$$ SELECT pg_has_role(session_user, wanted, 'MEMBER') $$;

CREATE OR REPLACE FUNCTION headway_now_us() RETURNS bigint LANGUAGE sql VOLATILE AS
$$ SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint) $$;

CREATE OR REPLACE FUNCTION headway_from(claimed text) RETURNS text LANGUAGE sql STABLE AS
$$ SELECT coalesce(host(inet_client_addr()), 'local') || ' (' || left(claimed, 200) || ')' $$;

-- Text from a console is a JSON value of this kind and of no more than that size, or it is refused here: what the
-- engine cannot read it could only refuse later.
CREATE OR REPLACE FUNCTION headway_json(given text, kind text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF octet_length(given) > 20000 OR jsonb_typeof(given::jsonb) <> kind THEN
        RAISE EXCEPTION 'not a JSON % of at most 20,000 bytes', kind USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN given;
END $$;

CREATE OR REPLACE FUNCTION headway_check(holds boolean, what text) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF holds IS NOT TRUE THEN RAISE EXCEPTION '%', what USING ERRCODE = 'invalid_parameter_value'; END IF;
END $$;

-- The job that an action or a step is about: its run's own, whatever a console claims beside it.
CREATE OR REPLACE FUNCTION headway_job(run_id bigint, claimed integer) RETURNS integer LANGUAGE sql STABLE AS
$$ SELECT CASE WHEN run_id IS NULL THEN claimed ELSE (SELECT r.job_id FROM run r WHERE r.id = run_id) END $$;

-- What is asked for carries the login's name, and nothing that only the engine may say. Its preview is asked for anew:
-- what a console shows may be anything.
CREATE OR REPLACE FUNCTION headway_stamp_action() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF headway_is('headway_store_engine') THEN RETURN NEW; END IF;
    -- Keys of 24 digits are the engine's own, made of what they are about: nobody takes one before it does.
    PERFORM headway_check(NEW.key ~ '^headway-[0-9a-z]{10,23}$', 'not an action key of a console');
    PERFORM headway_check(NEW.verb IN ('rerun', 'start', 'cancel', 'mark_ok', 'skip', 'hold', 'release', 'backfill'), 'no verb');
    PERFORM headway_check(NEW.overlap IN ('refuse', 'queue', 'allow'), 'overlap is refuse, queue or allow');
    PERFORM headway_json(NEW.parameters, 'object');
    NEW.job_id := headway_job(NEW.run_id, NEW.job_id);
    NEW.requested_by := session_user;
    NEW.requested_from := headway_from(NEW.requested_from);
    NEW.requested_us := headway_now_us();
    NEW.origin := 'person';
    IF NEW.parameters::jsonb ? 'by' THEN  -- the mark that a hold leaves at its source
        NEW.parameters := jsonb_set(NEW.parameters::jsonb, '{by}', to_jsonb(
            left(regexp_replace(session_user, '[^A-Za-z0-9_.@+-]', '-', 'g'), 64)))::text;
    END IF;
    NEW.state := 'requested';
    NEW.preview := '{}';
    NEW.approved_by := '';
    NEW.approved_us := NULL;
    NEW.sent_us := NULL;
    NEW.ended_us := NULL;
    NEW.native_ref := '';
    NEW.attempt_id := NULL;
    NEW.words := CASE WHEN NEW.needs_approval THEN
        'waits for the approval of another person: headway action approve ' || NEW.key ELSE '' END;
    NEW.next_us := 0;
    NEW.looked_up := 0;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION headway_stamp_request() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF headway_is('headway_store_engine') THEN RETURN NEW; END IF;
    PERFORM headway_json(NEW.arguments, 'object');
    IF NEW.arguments::jsonb ? 'from' THEN  -- as in the rows that a login writes itself
        NEW.arguments := jsonb_set(NEW.arguments::jsonb, '{from}', to_jsonb(
            headway_from(coalesce(NEW.arguments::jsonb ->> 'from', ''))))::text;
    END IF;
    NEW.asked_by := session_user;
    NEW.asked_us := headway_now_us();
    NEW.state := 'asked';
    NEW.answer := '{}';
    NEW.answered_us := NULL;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION headway_stamp_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT headway_is('headway_store_engine') THEN
        NEW.actor := session_user;
        NEW.at_us := headway_now_us();
    END IF;
    RETURN NEW;
END $$;

-- A plan is its starter's: its steps act by the starter's rights, so nobody else adds one or lets it go on.
CREATE OR REPLACE FUNCTION headway_stamp_plan() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF headway_is('headway_store_engine') THEN RETURN NEW; END IF;
    PERFORM headway_check(NEW.state IN ('running', 'paused', 'aborted'), 'a plan goes on, pauses or is aborted');
    IF TG_OP = 'INSERT' THEN
        PERFORM headway_check(NEW.kind IN ('recovery', 'backfill', 'bulk'), 'no kind of plan');
        PERFORM headway_check(NEW.at_once BETWEEN 1 AND 1000, 'at_once is 1 to 1000');
        NEW.state := 'running';
        NEW.ended_us := NULL;
        NEW.requested_by := session_user;
        NEW.requested_from := headway_from(NEW.requested_from);
        NEW.requested_us := headway_now_us();
    ELSIF NEW.state NOT IN ('paused', 'aborted') AND OLD.requested_by <> session_user
          AND NOT headway_is('headway_store_admin') THEN
        RAISE EXCEPTION 'plan % is %''s: to let it go on takes headway_store_admin', OLD.id, OLD.requested_by
            USING ERRCODE = 'insufficient_privilege';
    ELSE
        NEW.words := CASE NEW.state WHEN 'running' THEN 'resumed' ELSE NEW.state END || ' by ' || session_user;
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION headway_stamp_plan_step() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    starter text := (SELECT p.requested_by FROM plan p WHERE p.id = NEW.plan_id);
    is_new boolean := (SELECT p.xmin = pg_current_xact_id()::xid FROM plan p WHERE p.id = NEW.plan_id);
BEGIN
    IF headway_is('headway_store_engine') THEN RETURN NEW; END IF;
    IF starter IS DISTINCT FROM session_user::text AND NOT (TG_OP = 'UPDATE' AND headway_is('headway_store_admin')) THEN
        RAISE EXCEPTION 'plan % is %''s', NEW.plan_id, starter USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.state <> 'failed' THEN
        RAISE EXCEPTION 'a step that is % is the engine''s', OLD.state USING ERRCODE = 'insufficient_privilege';
    END IF;
    NEW.state := 'planned';
    NEW.action_key := NULL;
    IF TG_OP = 'UPDATE' THEN RETURN NEW; END IF;
    PERFORM headway_check(is_new, 'a plan that was started gets no further step');
    PERFORM headway_check(
        NEW.verb IN ('rerun', 'start', 'cancel', 'mark_ok', 'skip', 'hold', 'release', 'wait'), 'no verb');
    PERFORM headway_check(NEW.place > 0 AND NEW.wait_s BETWEEN 0 AND 31536000, 'its place or its wait is no number');
    PERFORM headway_json(NEW.parameters, 'object');
    PERFORM headway_check(NOT jsonb_path_exists(  -- only steps before it: none waits for itself
        headway_json(NEW.after, 'array')::jsonb, '$[*] ? (@.type() != "number" || @ < 1 || @ >= $place)',
        jsonb_build_object('place', NEW.place)), 'a step waits for steps before it');
    NEW.job_id := headway_job(NEW.run_id, NEW.job_id);
    PERFORM headway_check(NEW.job_id IS NOT NULL, 'a step is about a job');
    NEW.preview := '{}';
    NEW.due_us := NULL;
    NEW.started_us := NULL;
    NEW.ended_us := NULL;
    NEW.words := '';
    RETURN NEW;
END $$;

-- Whoever may act may stop everything; letting loose takes more.
CREATE OR REPLACE FUNCTION headway_stamp_switch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF headway_is('headway_store_engine') THEN RETURN NEW; END IF;
    IF NEW.name LIKE 'polling %' THEN  -- a pause, until when; empty where it is polled again
        PERFORM headway_check(CASE NEW.value WHEN '' THEN true
            ELSE NEW.value::timestamptz <= clock_timestamp() + interval '7 days 1 hour' END, 'at most 7 days');
    ELSIF NEW.value <> (CASE NEW.name WHEN 'freeze' THEN 'on' ELSE 'shadow' END)
       AND NOT headway_is('headway_store_admin') THEN
        RAISE EXCEPTION 'to turn % % takes headway_store_admin', NEW.name, NEW.value
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    NEW.set_by := session_user;
    NEW.at_us := headway_now_us();
    RETURN NEW;
END $$;


-- A row of the audit that is not the engine's is sealed here: name, time and place are the database's word, the chain
-- cannot be forked. As `console.store.chain.sealed`: SHA-256 over the hash before it and the values as compact JSON.
CREATE OR REPLACE FUNCTION headway_seal_audit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    last record;
BEGIN
    IF headway_is('headway_store_engine') THEN RETURN NEW; END IF;
    PERFORM pg_advisory_xact_lock(1212498244);
    SELECT a.seq, a.hash INTO last FROM audit a ORDER BY a.seq DESC LIMIT 1;
    NEW.seq := coalesce(last.seq, 0) + 1;
    NEW.prev_hash := coalesce(last.hash, '');
    NEW.at_us := headway_now_us();
    NEW.actor := session_user;
    NEW.origin := headway_from(NEW.origin);
    NEW.hash := encode(sha256(convert_to(
        NEW.prev_hash || '[' || NEW.seq || ',' || NEW.at_us || ',' || to_json(NEW.actor) || ',' || to_json(NEW.origin)
        || ',' || to_json(NEW.verb) || ',' || to_json(NEW.object) || ',' || to_json(NEW.detail) || ','
        || to_json(NEW.why) || ']', 'UTF8')), 'hex');
    RETURN NEW;
END $$;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['action', 'request', 'event', 'plan', 'plan_step', 'switch'] LOOP
        EXECUTE format('DROP TRIGGER IF EXISTS headway_stamp ON %I', name);
        EXECUTE format('CREATE TRIGGER headway_stamp BEFORE INSERT OR UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION %I()',
                       name, 'headway_stamp_' || name);
    END LOOP;
    DROP TRIGGER IF EXISTS headway_seal ON audit;
    CREATE TRIGGER headway_seal BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION headway_seal_audit();
    -- Their own temporary tables come last in the path: none of them can stand in for one of the store's.
    FOREACH name IN ARRAY ARRAY['headway_is(text)', 'headway_now_us()', 'headway_from(text)',
        'headway_json(text, text)', 'headway_check(boolean, text)', 'headway_job(bigint, integer)',
        'headway_stamp_action()', 'headway_stamp_request()', 'headway_stamp_event()', 'headway_stamp_plan()',
        'headway_stamp_plan_step()', 'headway_stamp_switch()', 'headway_seal_audit()'] LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, %I, pg_temp', name, current_schema());
    END LOOP;
END $$;
COMMIT;
