-- A shared store: who may do what in its database. People are the logins that the database authenticated.
--
-- Run it with psql in the store's database, as the login that owns the tables (it migrates the store; it needs
-- CREATEROLE), after that login has started the engine once; run it again after each upgrade. It changes nothing twice.
-- The store's schema must be the first of the search_path. Then make a login for each person and one for the engine:
--     CREATE ROLE alice LOGIN CONNECTION LIMIT 10 PASSWORD '...';
--     GRANT headway_store_act TO alice;                                                -- or …_view, or …_admin
--     CREATE ROLE watcher LOGIN PASSWORD '...';  GRANT headway_store_engine TO watcher;  -- the engine's service unit
--     CREATE ROLE oncall NOLOGIN;                GRANT oncall TO alice;                -- who = ["group:oncall"]
--
-- headway_store_view reads all tables except requests. headway_store_act may also call the functions below; each writes
-- under the login's own name, records that for the audit, and takes no lock that the engine waits for. The engine then
-- asks [[permissions]] before it sends. headway_store_admin may also thaw, turn live and resume any plan of another.
-- headway_store_engine reads and writes. Only the owner may change or remove a row of the audit. Superusers and the
-- owner write as the engine does. (pg_cron's headway_act is another role.)

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
        EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA %I FROM %I', home, 'headway_store_' || role);
    END LOOP;
    EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', home);
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM PUBLIC', home);
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO headway_store_view, headway_store_engine', home);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO headway_store_view', home);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO headway_store_engine', home);
    EXECUTE format('GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA %I TO headway_store_engine', home);
END $$;
DO $$
DECLARE
    name regprocedure;
BEGIN  -- only by the database's owner, and by a superuser: docs/security.md, "Not defended"
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO headway_store_engine', current_database());
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    FOR name IN SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace
        AND (p.proname ~ '^lo_' OR p.proname IN ('lowrite', 'pg_logical_emit_message')) AND pg_has_role(p.proowner, 'USAGE') LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', name);
    END LOOP;
END $$;
GRANT headway_store_view TO headway_store_act;
GRANT headway_store_act TO headway_store_admin;
REVOKE SELECT ON request FROM headway_store_view;  -- what others typed, and logs: see headway_answer
GRANT SELECT (state) ON request TO headway_store_view;  -- whether audit entries wait to be chained
REVOKE UPDATE, DELETE ON audit FROM headway_store_engine;
REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM headway_store_engine;
-- The row that clients lock among themselves. The engine locks the row 'engine', which no client can reach.
INSERT INTO lease (name, holder, fence, until_us, since_us, heartbeat_us) VALUES ('clients', '', 0, 0, 0, 0)
    ON CONFLICT (name) DO NOTHING;

-- Helpers: executed by the functions for clients, with no grants.

-- Whether the client has this role: session_user is the login, and SET ROLE does not change it.
CREATE OR REPLACE FUNCTION headway_is(wanted text) RETURNS boolean LANGUAGE sql STABLE AS
$$ SELECT pg_has_role(session_user, wanted, 'MEMBER') $$;

CREATE OR REPLACE FUNCTION headway_now_us() RETURNS bigint LANGUAGE sql VOLATILE AS
$$ SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint) $$;

-- One line without control characters, line separators and marks of direction.
CREATE OR REPLACE FUNCTION headway_line(given text, most integer) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT left(regexp_replace(coalesce(given, ''),
    '[\u0001-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]+', ' ', 'g'), most) $$;

CREATE OR REPLACE FUNCTION headway_from(claimed text) RETURNS text LANGUAGE sql STABLE AS
$$ SELECT coalesce(host(inet_client_addr()), 'local') || ' (' || headway_line(claimed, 200) || ')' $$;

CREATE OR REPLACE FUNCTION headway_check(holds boolean, what text) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF holds IS NOT TRUE THEN RAISE EXCEPTION '%', what USING ERRCODE = 'invalid_parameter_value'; END IF;
END $$;

CREATE OR REPLACE FUNCTION headway_refuse(what text) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RAISE EXCEPTION '%', what USING ERRCODE = 'insufficient_privilege';
END $$;

-- A JSON value of this kind that every reader can parse, at most 20,000 bytes, 20 levels and numbers of 40 digits.
CREATE OR REPLACE FUNCTION headway_json(given text, kind text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    rest text;
BEGIN
    PERFORM headway_check(octet_length(given) <= 20000, format('not a JSON %s of at most 20,000 bytes', kind));
    rest := regexp_replace(given, '"([^"\\]|\\.)*"', '0', 'g');
    PERFORM headway_check(rest !~ '[0-9.]{40}|[eE][+-]?[0-9]{3}', 'a number in the JSON is too long');
    FOR level IN 1..20 LOOP
        EXIT WHEN rest !~ '[][{}]';
        rest := regexp_replace(rest, '[[{][^][{}]*[]}]', '0', 'g');
    END LOOP;
    PERFORM headway_check(rest !~ '[][{}]' AND jsonb_typeof(given::jsonb) = kind, format('not a JSON %s', kind));
    RETURN given;
END $$;

-- The job that an action or a step is about: its run's own, whatever a console claims beside it; NULL for none.
CREATE OR REPLACE FUNCTION headway_job(run_id bigint, claimed integer) RETURNS integer LANGUAGE sql STABLE AS
$$ SELECT CASE WHEN run_id IS NULL THEN (SELECT j.id FROM job j WHERE j.id = claimed)
    ELSE (SELECT r.job_id FROM run r WHERE r.id = run_id) END $$;

-- Before a login's rows are counted: one transaction of a login at a time, so that none counts without the others.
-- The row is changed, not only locked: an older snapshot fails.
CREATE OR REPLACE FUNCTION headway_alone() RETURNS void LANGUAGE sql VOLATILE AS
$$ INSERT INTO lease AS l (name, holder, fence, until_us, since_us, heartbeat_us)
   VALUES ('client ' || session_user, '', 0, 0, 0, 0)
   ON CONFLICT (name) DO UPDATE SET fence = l.fence + 1 $$;

-- An entry for the audit. The engine chains it before its own next entry (`console.store.audit`): a chain that clients
-- wrote themselves would make the engine wait for them. Each costs the engine time, so that a login may write 2,000 an
-- hour, and a freeze always.
CREATE OR REPLACE FUNCTION headway_audit(verb text, about text, detail json, why text, claimed text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF verb <> 'freeze' THEN PERFORM headway_alone(); END IF;
    PERFORM headway_check(verb = 'freeze' OR 2000 > (
        (SELECT count(*) FROM request r WHERE r.state = 'unchained' AND r.requested_by = session_user)
        + (SELECT count(*) FROM (SELECT a.actor, a.at_us FROM audit a ORDER BY a.seq DESC LIMIT 10000) latest
           WHERE latest.actor = session_user AND latest.at_us > headway_now_us() - 3600000000)),
        'at most 2,000 changes and records of one login in an hour');
    INSERT INTO request (kind, arguments, requested_by, requested_us, state, answer)
    VALUES ('audit', json_build_object('origin', headway_from(claimed), 'verb', headway_line(verb, 200), 'object',
                headway_line(about, 500), 'detail', detail, 'why', headway_line(why, 2000))::text,
            session_user, headway_now_us(), 'unchained', '{}');
END $$;

-- For clients.

-- Serializes clients, so that none repeats what another just requested. A client that keeps this lock delays the
-- others by one second and blocks nothing.
CREATE OR REPLACE FUNCTION headway_lock() RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM 1 FROM lease WHERE name = 'clients' FOR UPDATE;
EXCEPTION WHEN lock_not_available THEN NULL;
END $$;

-- A question to the engine; its number.
CREATE OR REPLACE FUNCTION headway_ask(kind text, arguments text) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    number bigint;
BEGIN
    PERFORM headway_check(kind ~ '^[a-z]+( [a-z]+)*$' AND length(kind) <= 40 AND kind <> 'audit', 'no kind of request');
    PERFORM headway_json(arguments, 'object');
    IF kind IN ('resume policy', 'close breaker') AND NOT headway_is('headway_store_admin') THEN
        PERFORM headway_refuse(format('only headway_store_admin may %s', kind));
    END IF;
    arguments := jsonb_set(arguments::jsonb, '{from}', to_jsonb(headway_from(arguments::jsonb ->> 'from')))::text;
    PERFORM headway_alone();
    PERFORM headway_check(100 > (SELECT count(*) FROM request r WHERE r.state IN ('pending', 'ordered')
        AND r.requested_by = session_user), 'at most 100 unanswered requests of one login');
    INSERT INTO request (kind, arguments, requested_by, requested_us, state, answer)
    VALUES (kind, arguments, session_user, headway_now_us(), 'pending', '{}') RETURNING id INTO number;
    RETURN number;
END $$;

-- State and answer of an own question.
CREATE OR REPLACE FUNCTION headway_answer(number bigint) RETURNS TABLE (state text, answer text) LANGUAGE sql STABLE AS
$$ SELECT r.state, r.answer FROM request r WHERE r.id = number AND r.requested_by = session_user AND r.kind <> 'audit' $$;

-- Requests an action under a key of the client; false if that key was used. A client's preview is not kept: the engine
-- asks the scheduler for one before it sends.
CREATE OR REPLACE FUNCTION headway_act(
    key text, verb text, job_id integer, run_id bigint, incident_id bigint, parameters text, why text, overlap text,
    needs_approval boolean, claimed text
) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_variable
DECLARE
    job text;
BEGIN
    -- Keys of 24 digits are the engine's own, made of what they are about.
    PERFORM headway_check(key ~ '^headway-[0-9a-z]{10,23}$', 'not an action key of a console');
    PERFORM headway_check(verb IN ('rerun', 'start', 'cancel', 'mark_ok', 'skip', 'hold', 'release', 'backfill'), 'no verb');
    PERFORM headway_check(overlap IN ('refuse', 'queue', 'allow'), 'overlap is refuse, queue or allow');
    PERFORM headway_json(parameters, 'object');
    job_id := headway_job(run_id, job_id);
    SELECT j.name INTO job FROM job j WHERE j.id = job_id;
    PERFORM headway_check(FOUND, 'an action is about a job');
    IF parameters::jsonb ? 'by' THEN  -- the mark that a hold leaves at its source
        parameters := jsonb_set(parameters::jsonb, '{by}', to_jsonb(
            left(regexp_replace(session_user, '[^A-Za-z0-9_.@+-]', '-', 'g'), 64)))::text;
    END IF;
    PERFORM headway_alone();
    PERFORM headway_check(1000 > (SELECT count(*) FROM action a WHERE a.requested_by = session_user AND a.origin = 'person'
        AND a.requested_us > headway_now_us() - 3600000000), 'at most 1,000 actions of one login in an hour');
    why := headway_line(why, 2000);
    INSERT INTO action (key, verb, job_id, run_id, incident_id, state, preview, parameters, origin, requested_by,
        requested_from, why, overlap, needs_approval, approved_by, requested_us, native_ref, text, next_us, looked_up,
        changed_seq)
    VALUES (key, verb, job_id, run_id, coalesce(
            (SELECT i.id FROM incident i WHERE i.id = incident_id),
            (SELECT min(i.id) FROM run r JOIN incident_member m ON m.job_id = r.job_id AND m.period_key = r.period_key
             JOIN incident i ON i.id = m.incident_id AND i.closed_us IS NULL WHERE r.id = run_id)),
        'requested', '{}', parameters, 'person', session_user, headway_from(claimed), why, overlap,
        coalesce(needs_approval, false), '', headway_now_us(), '', CASE WHEN needs_approval THEN
        'waiting for approval by another person: headway action approve ' || key ELSE '' END, 0, 0, 0)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        PERFORM headway_check(EXISTS (SELECT 1 FROM action a WHERE a.key = key AND a.requested_by = session_user),
            'not an action key of this login');
        RETURN false;
    END IF;
    PERFORM headway_audit('request ' || verb, job, json_build_object('key', key, 'run_id', run_id, 'parameters',
        parameters::json, 'sends', '[]'::json, 'needs_approval', coalesce(needs_approval, false)), why, claimed);
    RETURN true;
END $$;

-- Starts a plan with all of its steps; its number. No step is added or changed later. A plan that an assistant or the
-- HTTP API requests is paused until a person resumes it, and its text (domain.plan.REQUESTED) makes the engine notify.
CREATE OR REPLACE FUNCTION headway_start_plan(
    key text, kind text, title text, incident_id bigint, why text, at_once integer, steps text, claimed text
) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_variable
DECLARE
    plan_number bigint;
    given jsonb;
    step record;
    waits text := CASE WHEN claimed IN ('MCP', 'HTTP API') THEN 'awaits approval: nothing is sent until a person resumes it'
        ELSE '' END;
BEGIN
    PERFORM headway_check(length(key) BETWEEN 1 AND 200 AND key !~ '\s', 'a plan has a key');
    key := session_user || ' ' || key;  -- no login can take, or learn of, the key of another
    SELECT p.id INTO plan_number FROM plan p WHERE p.key = key AND p.requested_by = session_user;
    IF FOUND THEN RETURN plan_number; END IF;
    PERFORM headway_check(kind IN ('recovery', 'backfill', 'bulk'), 'no kind of plan');
    PERFORM headway_check(at_once BETWEEN 1 AND 1000, 'at_once is 1 to 1000');
    PERFORM headway_alone();
    PERFORM headway_check(100 > (SELECT count(*) FROM plan p WHERE p.requested_by = session_user
        AND p.requested_us > headway_now_us() - 3600000000), 'at most 100 plans of one login in an hour');
    PERFORM headway_check(octet_length(steps) <= 4000000, 'the steps are more than 4,000,000 bytes');
    given := steps::jsonb;
    PERFORM headway_check(jsonb_typeof(given) = 'array', 'steps are a JSON array');
    PERFORM headway_check(jsonb_array_length(given) BETWEEN 1 AND 5000, 'a plan has 1 to 5,000 steps');
    PERFORM headway_check(5000 >= jsonb_array_length(given) + (SELECT count(*) FROM plan_step s JOIN plan p
        ON p.id = s.plan_id WHERE p.requested_by = session_user AND p.requested_us > headway_now_us() - 3600000000),
        'at most 5,000 steps of the plans of one login in an hour');
    PERFORM headway_check(NOT jsonb_path_exists(given, 'strict $[*] ? (@.type() != "object")')
        AND NOT jsonb_path_exists(given, '$[*].* ? (@.type() == "object" || @.type() == "array")'), 'a step is an object');
    why := headway_line(why, 2000);
    title := headway_line(title, 500);
    INSERT INTO plan (key, kind, title, incident_id, state, requested_by, requested_from, why, requested_us, at_once,
        text, changed_seq)
    VALUES (key, kind, title, (SELECT i.id FROM incident i WHERE i.id = incident_id),
        CASE waits WHEN '' THEN 'running' ELSE 'paused' END, session_user, headway_from(claimed), why, headway_now_us(),
        at_once, waits, 0) RETURNING id INTO plan_number;
    FOR step IN SELECT s.* FROM jsonb_to_recordset(given) AS s (place integer, verb text, job_id integer, run_id bigint,
        period_key text, parameters text, after text, wait_s float8, safety text, expected_s float8, saves text) LOOP
        PERFORM headway_check(step.verb IN (
            'rerun', 'start', 'cancel', 'mark_ok', 'skip', 'hold', 'release', 'wait'), 'no verb');
        PERFORM headway_check(step.place BETWEEN 1 AND 5000 AND step.wait_s BETWEEN 0 AND 31536000
            AND (step.expected_s IS NULL OR step.expected_s BETWEEN 0 AND 31536000000), 'a step''s number is out of range');
        PERFORM headway_check(step.safety IN ('safe', 'ask', 'never'), 'safety is safe, ask or never');
        PERFORM headway_check(NOT jsonb_path_exists(  -- only steps before it: none waits for itself
            headway_json(step.after, 'array')::jsonb,
            '$[*] ? (@.type() != "number" || @ < 1 || @ >= $place || @.floor() != @)',
            jsonb_build_object('place', step.place)), 'a step waits for steps before it');
        PERFORM headway_check(headway_job(step.run_id, step.job_id) IS NOT NULL, 'a step is about a job');
        INSERT INTO plan_step (plan_id, place, verb, job_id, run_id, period_key, parameters, after, wait_s, safety,
            expected_s, saves, preview, state, text)
        VALUES (plan_number, step.place, step.verb, headway_job(step.run_id, step.job_id), step.run_id,
            headway_line(step.period_key, 500), headway_json(step.parameters, 'object'), step.after, step.wait_s,
            step.safety, step.expected_s, headway_json(step.saves, 'array'), '{}', 'planned', '');
    END LOOP;
    INSERT INTO event (at_us, kind, text, incident_id, actor)
    SELECT headway_now_us(), 'plan', 'plan ' || p.id || CASE waits WHEN '' THEN ' started: ' ELSE ' awaits approval: ' END
        || title, p.incident_id, CASE claimed WHEN 'MCP' THEN 'assistant of ' ELSE '' END || session_user
    FROM plan p WHERE p.id = plan_number;
    PERFORM headway_audit(CASE waits WHEN '' THEN 'start plan' ELSE 'propose plan' END, 'plan ' || plan_number,
        json_build_object('plan', plan_number, 'steps', (
            SELECT json_agg(s.verb || ' ' || j.name ORDER BY s.place) FROM plan_step s JOIN job j ON j.id = s.job_id
            WHERE s.plan_id = plan_number)), why, claimed);
    RETURN plan_number;
END $$;

-- Orders the engine to pause, resume or abort a plan; the number of the request, whose answer says that it is done.
-- The engine changes the plan: a client holds no lock on a row that the engine writes. A plan acts by its starter's
-- rights: only the starter or an admin resumes it, and then failed steps are done again. Any client may resume a plan
-- that an assistant or the HTTP API requested before its first step (domain.plan.PlanView.awaits_approval); the engine
-- then checks the client's rights on each step's job.
DROP FUNCTION IF EXISTS headway_steer_plan(bigint, text, text, text);
CREATE FUNCTION headway_steer_plan(number bigint, how text, why text, claimed text) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    starter text;
    is_own boolean;
    awaits_approval boolean;
    request_number bigint;
BEGIN
    PERFORM headway_check(how IN ('pause plan', 'resume plan', 'abort plan'), 'a plan is paused, resumed or aborted');
    SELECT p.requested_by, p.state = 'paused' AND p.requested_from ~ '(^| \()(MCP|HTTP API)\)?$' AND NOT EXISTS (
        SELECT 1 FROM plan_step s WHERE s.plan_id = p.id AND s.state <> 'planned')
    INTO starter, awaits_approval FROM plan p WHERE p.id = number;
    PERFORM headway_check(FOUND, format('no plan %s', number));
    is_own := starter = session_user OR headway_is('headway_store_admin');
    IF how = 'resume plan' AND NOT (is_own OR awaits_approval) THEN
        PERFORM headway_refuse(format('plan %s was started by %s: only they or headway_store_admin may resume it', number, starter));
    END IF;
    request_number := headway_ask(how, json_build_object('plan', number, 'why', headway_line(why, 2000), 'from', claimed,
        'is_own', is_own)::text);
    UPDATE request r SET state = 'ordered' WHERE r.id = request_number;
    RETURN request_number;
END $$;

-- Sets a switch; false if it had that value. headway_store_act may freeze and go into shadow, headway_store_admin also
-- thaw and go live.
-- Each login freezes in a row of its own, so that no login blocks another.
CREATE OR REPLACE FUNCTION headway_switch(name text, value text, why text, claimed text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_variable
DECLARE
    scope text := split_part(name, ' ', 1);
    place text := substr(name, length(split_part(name, ' ', 1)) + 2);
    before text := (SELECT s.value FROM switch s WHERE s.name = name);
    others text[] := '{}';
    verb text := CASE value WHEN 'live' THEN 'shadow off' ELSE 'shadow on' END;
    detail json;
BEGIN
    PERFORM headway_check(CASE
        WHEN name IN ('freeze', 'mode') THEN true
        WHEN scope = 'system' THEN EXISTS (SELECT 1 FROM system y WHERE y.name = place)
        WHEN scope = 'service' THEN EXISTS (SELECT 1 FROM service y WHERE y.name = place)
        WHEN scope = 'dependency' THEN 2 = (SELECT count(DISTINCT j.name) FROM job j
            WHERE j.name IN (split_part(place, ' -> ', 1), split_part(place, ' -> ', 2)))
        ELSE false END, 'no switch');
    why := headway_line(why, 2000);
    PERFORM headway_check(CASE name WHEN 'freeze' THEN value IN ('on', 'off') ELSE value IN ('live', 'shadow') END,
        'no value of this switch');
    IF value IN ('off', 'live') AND NOT headway_is('headway_store_admin') THEN
        PERFORM headway_refuse(format('only headway_store_admin may turn %s %s', name, value));
    END IF;
    IF name = 'mode' THEN
        others := ARRAY(SELECT s.name FROM switch s WHERE s.value <> value
            AND split_part(s.name, ' ', 1) IN ('system', 'service', 'dependency') ORDER BY s.name);
    ELSIF name = 'freeze' THEN
        others := ARRAY(SELECT s.name FROM switch s WHERE s.value = 'on' AND s.name ~ '^freeze( |$)');
        before := CASE cardinality(others) WHEN 0 THEN 'off' ELSE 'on' END;
        others := CASE value WHEN 'off' THEN others ELSE '{}' END;
        name := CASE value WHEN 'on' THEN 'freeze ' || session_user ELSE name END;
        verb := CASE value WHEN 'on' THEN 'freeze' ELSE 'thaw' END;
    END IF;
    IF before = value AND cardinality(others) = 0 THEN RETURN false; END IF;
    detail := json_build_object('before', coalesce(before, ''), 'after', value, 'with it', others);
    INSERT INTO switch AS s (name, value, set_by, why, at_us)
    SELECT DISTINCT one, value, session_user::text, why, headway_now_us() FROM unnest(array_append(others, name)) one
    ON CONFLICT ON CONSTRAINT switch_pkey DO UPDATE
    SET value = excluded.value, set_by = excluded.set_by, why = excluded.why, at_us = excluded.at_us;
    PERFORM headway_audit(verb, CASE scope WHEN 'freeze' THEN 'freeze' WHEN 'mode' THEN 'estate' ELSE name END, detail,
        why, claimed);
    RETURN true;
END $$;

-- Pauses the polls of a system until then, or resumes them without a time.
CREATE OR REPLACE FUNCTION headway_pause_polling(system text, until_us bigint, why text, claimed text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_variable
DECLARE
    before bigint := (SELECT s.until_us FROM switch s WHERE s.name = 'polling ' || system);
BEGIN
    PERFORM headway_check(EXISTS (SELECT 1 FROM system y WHERE y.name = system), 'no such system');
    PERFORM headway_check(until_us IS NULL OR until_us BETWEEN 0 AND headway_now_us() + 608400000000,
        'polls are paused until a time within 7 days');
    why := headway_line(why, 2000);
    INSERT INTO switch AS s (name, value, set_by, why, at_us, until_us)
    VALUES ('polling ' || system, '', session_user::text, why, headway_now_us(), until_us)
    ON CONFLICT ON CONSTRAINT switch_pkey DO UPDATE
    SET set_by = excluded.set_by, why = excluded.why, at_us = excluded.at_us, until_us = excluded.until_us;
    PERFORM headway_audit(CASE WHEN until_us IS NULL THEN 'resume polling' ELSE 'pause polling' END, system,
        json_build_object('until_us', until_us, 'before_us', before), why, claimed);
END $$;

-- A note on an incident's timeline.
CREATE OR REPLACE FUNCTION headway_note(incident bigint, note text, claimed text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM headway_check(EXISTS (SELECT 1 FROM incident i WHERE i.id = incident), 'no such incident');
    note := headway_line(note, 2000);
    INSERT INTO event (at_us, kind, text, incident_id, actor)
    VALUES (headway_now_us(), 'note', note, incident, session_user);
    PERFORM headway_audit('note', 'INC-' || lpad(incident::text, greatest(4, length(incident::text)), '0'),
        json_build_object('text', note), '', claimed);
END $$;

-- An entry for the audit about what leaves no other row: a refusal, a shell, a release without an engine, a suggested
-- dependency that was accepted into the config, or rejected.
CREATE OR REPLACE FUNCTION headway_record(verb text, about text, detail text, why text, claimed text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM headway_check(length(verb) <= 80 AND verb ~ ('^(refuse [a-z_]+( [a-z_]+)*|shell|release natively'
        || '|restore|released natively|failed release natively|(accept|reject) dependency)$'), 'no verb of a record');
    PERFORM headway_audit(verb, about, headway_json(detail, 'object')::json, why, claimed);
END $$;

DO $$
DECLARE
    name regprocedure;
    helpers regprocedure[] := ARRAY['headway_is(text)', 'headway_now_us()', 'headway_line(text, integer)',
        'headway_from(text)', 'headway_check(boolean, text)', 'headway_refuse(text)', 'headway_json(text, text)',
        'headway_job(bigint, integer)', 'headway_alone()', 'headway_audit(text, text, json, text, text)'];
    functions regprocedure[] := ARRAY['headway_lock()', 'headway_ask(text, text)', 'headway_answer(bigint)',
        'headway_act(text, text, integer, bigint, bigint, text, text, text, boolean, text)',
        'headway_start_plan(text, text, text, bigint, text, integer, text, text)',
        'headway_steer_plan(bigint, text, text, text)', 'headway_switch(text, text, text, text)',
        'headway_pause_polling(text, bigint, text, text)',
        'headway_note(bigint, text, text)', 'headway_record(text, text, text, text, text)'];
BEGIN
    FOREACH name IN ARRAY helpers || functions LOOP
        -- Their own temporary tables come last in the path: none of them can stand in for one of the store's.
        EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, %I, pg_temp', name, current_schema());
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', name);
    END LOOP;
    FOREACH name IN ARRAY functions LOOP
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER', name);
        EXECUTE format('ALTER FUNCTION %s SET lock_timeout = %L', name,
                       CASE name WHEN 'headway_lock()'::regprocedure THEN '1s' ELSE '5s' END);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO headway_store_act', name);
    END LOOP;
END $$;
COMMIT;
