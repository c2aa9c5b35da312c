-- What Headway needs at a pgAgent, and no more. Run once, as a superuser, in the database of extension pgagent; running it
-- again changes nothing, and brings an older version up to date. Then make logins and put them in:
--     CREATE ROLE headway LOGIN PASSWORD '...';
--     GRANT headway_view TO headway;          -- to watch
--     GRANT headway_act TO headway;           -- to rerun, start, hold and release as well

-- View: everything but pga_jobstep.jstconnstr, which may hold a password. Where row security was turned on for these
-- tables, a policy of ours lets both roles see every row.
DO $$
DECLARE
    watched text;
BEGIN
    IF to_regrole('headway_view') IS NULL THEN CREATE ROLE headway_view NOLOGIN; END IF;
    IF to_regrole('headway_act') IS NULL THEN CREATE ROLE headway_act NOLOGIN; END IF;
    FOREACH watched IN ARRAY ARRAY['pga_job', 'pga_jobstep', 'pga_schedule', 'pga_exception', 'pga_joblog',
                                   'pga_jobsteplog', 'pga_jobagent'] LOOP
        IF watched <> 'pga_jobstep' THEN
            EXECUTE format('GRANT SELECT ON pgagent.%I TO headway_view, headway_act', watched);
        END IF;
        EXECUTE format('DROP POLICY IF EXISTS headway_all ON pgagent.%I', watched);
        EXECUTE format('CREATE POLICY headway_all ON pgagent.%I FOR SELECT TO headway_view, headway_act USING (true)',
                       watched);
    END LOOP;
END $$;
GRANT USAGE ON SCHEMA pgagent TO headway_view, headway_act;
GRANT SELECT (jstid, jstjobid, jstname, jstdesc, jstenabled, jstkind, jstcode, jstdbname, jstonerror)
    ON pgagent.pga_jobstep TO headway_view, headway_act;

-- What we started: pgAgent's log has no place for a key. A row is written in the transaction that makes the job due.
CREATE SCHEMA IF NOT EXISTS headway;
REVOKE ALL ON SCHEMA headway FROM PUBLIC;
GRANT USAGE ON SCHEMA headway TO headway_view, headway_act;
CREATE TABLE IF NOT EXISTS headway.pgagent_started (
    action_key text PRIMARY KEY CHECK (action_key ~ '^headway-[0-9a-z]{10,40}$'),
    jobid integer NOT NULL,
    after_jlgid integer NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    asked_by name NOT NULL DEFAULT session_user
);
CREATE INDEX IF NOT EXISTS pgagent_started_jobid ON headway.pgagent_started (jobid);
REVOKE ALL ON headway.pgagent_started FROM PUBLIC;
GRANT SELECT ON headway.pgagent_started TO headway_view, headway_act;

-- Act: make an existing job due now; keep a job from starting and let it go again. No SQL of the caller's. The functions
-- belong to the superuser who runs this file.

-- The line that a hold puts before a job's comment, with its end of line; empty for a comment without one.
CREATE OR REPLACE FUNCTION headway.pgagent_mark(jobdesc text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(substring(jobdesc FROM
        '^headway-hold id=headway-[0-9a-z]{10,40} by=[A-Za-z0-9_.@+-]{1,64} until=[0-9TZ:.-]{20,27}\n'), '')
$$;

-- Start: only a job that is enabled, idle and not due already, and only where an agent of its host is there: so the next
-- row of this job in pga_joblog is the run that was asked for. The same key again changes nothing.
CREATE OR REPLACE FUNCTION headway.pgagent_start(job integer, asked_key text) RETURNS boolean
LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_job pgagent.pga_job;
BEGIN
    IF asked_key !~ '^headway-[0-9a-z]{10,40}$' THEN
        RAISE EXCEPTION 'not an action key of Headway: %', asked_key USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT * INTO found_job FROM pgagent.pga_job j WHERE j.jobid = job FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no pgAgent job %', job USING ERRCODE = 'no_data_found';
    ELSIF EXISTS (SELECT FROM headway.pgagent_started s WHERE s.action_key = asked_key) THEN
        RETURN true;
    ELSIF NOT found_job.jobenabled THEN
        RAISE EXCEPTION 'pgAgent job % is not enabled: no agent would start it', job;
    ELSIF found_job.jobagentid IS NOT NULL THEN
        RAISE EXCEPTION 'pgAgent job % runs now', job;
    ELSIF found_job.jobnextrun <= clock_timestamp() THEN
        RAISE EXCEPTION 'pgAgent job % is due and about to start', job;
    ELSIF NOT EXISTS (SELECT FROM pgagent.pga_jobagent a JOIN pg_stat_activity s ON s.pid = a.jagpid
                       WHERE found_job.jobhostagent IN ('', a.jagstation)) THEN
        RAISE EXCEPTION 'no pgAgent that could start job % is connected', job;
    END IF;
    DELETE FROM headway.pgagent_started WHERE asked_at < now() - interval '400 days';
    INSERT INTO headway.pgagent_started (action_key, jobid, after_jlgid)
        SELECT asked_key, job, coalesce(max(l.jlgid), 0) FROM pgagent.pga_joblog l WHERE l.jlgjobid = job;
    UPDATE pgagent.pga_job SET jobnextrun = clock_timestamp() WHERE jobid = job;
    RETURN true;
END $$;

-- Hold: only a job that is enabled and not about to start; the hold mark is the first line of its comment, where whoever looks
-- at the job in pgAdmin finds it. A run that is under way goes on. The same key again changes nothing.
CREATE OR REPLACE FUNCTION headway.pgagent_hold(job integer, action_key text, held_by text, until text) RETURNS boolean
LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_job pgagent.pga_job;
    mark text := format(E'headway-hold id=%s by=%s until=%s\n', action_key, held_by, until);
BEGIN
    IF headway.pgagent_mark(mark) <> mark THEN
        RAISE EXCEPTION 'not a hold of Headway: %', mark USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT * INTO found_job FROM pgagent.pga_job j WHERE j.jobid = job FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no pgAgent job %', job USING ERRCODE = 'no_data_found';
    ELSIF starts_with(found_job.jobdesc, mark) AND NOT found_job.jobenabled THEN
        RETURN true;
    ELSIF headway.pgagent_mark(found_job.jobdesc) <> '' THEN
        RAISE EXCEPTION 'pgAgent job % is held already', job;
    ELSIF NOT found_job.jobenabled THEN
        RAISE EXCEPTION 'pgAgent job % is not enabled: somebody else paused it', job;
    ELSIF found_job.jobnextrun <= clock_timestamp() AND found_job.jobagentid IS NULL THEN
        RAISE EXCEPTION 'pgAgent job % is due and about to start', job;
    END IF;
    UPDATE pgagent.pga_job SET jobdesc = mark || jobdesc, jobenabled = false WHERE jobid = job;
    RETURN true;
END $$;

-- Release: only a job that bears the mark with this id; its comment is again what it was, byte for byte. `enable` false:
-- the hold mark alone, where a person has enabled the job under it; enabled or not stays as it is.
CREATE OR REPLACE FUNCTION headway.pgagent_release(job integer, hold_key text, enable boolean) RETURNS boolean
LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_job pgagent.pga_job;
    mark text;
BEGIN
    SELECT * INTO found_job FROM pgagent.pga_job j WHERE j.jobid = job FOR UPDATE;
    mark := headway.pgagent_mark(found_job.jobdesc);
    IF mark IS NULL OR NOT starts_with(mark, format('headway-hold id=%s by=', hold_key)) THEN
        RAISE EXCEPTION 'pgAgent job % does not bear hold %: nothing was changed', job, hold_key;
    END IF;
    UPDATE pgagent.pga_job SET jobdesc = substr(found_job.jobdesc, length(mark) + 1), jobenabled = jobenabled OR enable
     WHERE jobid = job;
    RETURN true;
END $$;

DO $$
DECLARE
    act text;
BEGIN
    FOREACH act IN ARRAY ARRAY['pgagent_start(integer, text)', 'pgagent_hold(integer, text, text, text)',
                               'pgagent_release(integer, text, boolean)'] LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION headway.%s FROM PUBLIC', act);
        EXECUTE format('GRANT EXECUTE ON FUNCTION headway.%s TO headway_act', act);
    END LOOP;
    REVOKE ALL ON FUNCTION headway.pgagent_mark(text) FROM PUBLIC;
END $$;
