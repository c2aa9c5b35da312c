-- What Headway needs at a pg_cron, and no more. Run once, as a superuser, in the database that cron.database_name
-- names; running it again changes nothing, and brings an older version up to date. Then make logins and put them in:
--     CREATE ROLE headway LOGIN PASSWORD '...';
--     GRANT headway_view TO headway;          -- to watch
--     GRANT headway_act TO headway;           -- to rerun, start, cancel, hold and release as well

-- View: row security of pg_cron shows a role its own jobs only; without these policies others' jobs just seem absent.
DO $$ BEGIN
    IF to_regrole('headway_view') IS NULL THEN CREATE ROLE headway_view NOLOGIN; END IF;
    IF to_regrole('headway_act') IS NULL THEN CREATE ROLE headway_act NOLOGIN; END IF;
END $$;
GRANT USAGE ON SCHEMA cron TO headway_view, headway_act;
GRANT SELECT ON cron.job, cron.job_run_details TO headway_view, headway_act;
DROP POLICY IF EXISTS headway_all ON cron.job;
CREATE POLICY headway_all ON cron.job FOR SELECT TO headway_view, headway_act USING (true);
DROP POLICY IF EXISTS headway_all ON cron.job_run_details;
CREATE POLICY headway_all ON cron.job_run_details FOR SELECT TO headway_view, headway_act USING (true);

-- Act: run an existing job once more as its owner, and take that one-shot entry away again; keep a job from starting and
-- let it go again; cancel what a run executes. No SQL of the caller's.
-- The functions belong to the superuser who runs this file: only a superuser may schedule for others.
-- (pg_cron lets every role with USAGE on schema cron schedule SQL as itself. Where that is too much:
-- REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA cron FROM PUBLIC, and grant it to the owners of jobs.)
CREATE SCHEMA IF NOT EXISTS headway;
REVOKE ALL ON SCHEMA headway FROM PUBLIC;
GRANT USAGE ON SCHEMA headway TO headway_act;

-- The comment that a hold puts before a command, with the blank behind it; empty for a command without one.
CREATE OR REPLACE FUNCTION headway.hold_mark(command text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(substring(command FROM
        '^/[*] headway-hold id=headway-[0-9a-z]{10,40} by=[A-Za-z0-9_.@+-]{1,64} until=[0-9TZ:.-]{20,27} [*]/ '), '')
$$;

CREATE OR REPLACE FUNCTION headway.rerun(job bigint, action_key text) RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    original cron.job;
    entry text := format('headway:rerun:%s:%s', job, action_key);
    -- The next full minute that is at least 5 s away: pg_cron must have read the entry by then, or it waits a year.
    -- A pg_cron without this setting runs in GMT: pg_settings does not list what a config file says to it all the same.
    due timestamp := date_trunc('minute', clock_timestamp() AT TIME ZONE
                                coalesce((SELECT s.setting FROM pg_settings s WHERE s.name = 'cron.timezone'), 'UTC')
                                + interval '65 seconds');
    added bigint;
BEGIN
    IF action_key !~ '^headway-[0-9a-z]{10,40}$' OR length(entry) > 63 THEN
        RAISE EXCEPTION 'not an action key of Headway: %', action_key USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT * INTO original FROM cron.job j WHERE j.jobid = job;
    IF NOT FOUND OR starts_with(original.jobname, 'headway:rerun:') THEN
        RAISE EXCEPTION 'no pg_cron job %', job USING ERRCODE = 'no_data_found';
    END IF;
    -- The same key again adds nothing: cron.schedule_in_database alone would move the entry to a later minute.
    SELECT j.jobid INTO added FROM cron.job j WHERE j.jobname = entry;
    IF FOUND THEN
        RETURN added;
    END IF;
    -- The comment stays in the run's row after the entry is gone: by it the run is known as ours.
    added := cron.schedule_in_database(entry, to_char(due, 'FMMI FMHH24 FMDD FMMM "*"'),
                                       format('/* %s */ %s', entry, substr(original.command,
                                              length(headway.hold_mark(original.command)) + 1)),
                                       original.database, original.username, true);
    UPDATE cron.job j SET nodename = original.nodename, nodeport = original.nodeport
     WHERE j.jobid = added AND (j.nodename, j.nodeport) IS DISTINCT FROM (original.nodename, original.nodeport);
    RETURN added;
END $$;

CREATE OR REPLACE FUNCTION headway.unschedule(action_key text) RETURNS boolean
LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    entry bigint;
BEGIN
    SELECT j.jobid INTO entry FROM cron.job j
     WHERE starts_with(j.jobname, 'headway:rerun:') AND split_part(j.jobname, ':', 4) = action_key;
    -- pg_cron cancels a run whose entry goes away: leave it while it runs.
    IF NOT FOUND OR EXISTS (SELECT FROM cron.job_run_details d
                             WHERE d.jobid = entry AND d.status NOT IN ('succeeded', 'failed')) THEN
        RETURN false;
    END IF;
    RETURN cron.unschedule(entry);
END $$;

-- Hold: only a job that is active, that runs nothing now, and that is still what the caller was shown. Our mark is put
-- before its command, where whoever looks at the job finds it. The same key again changes nothing.
CREATE OR REPLACE FUNCTION headway.hold(job bigint, action_key text, held_by text, until text,
                                        seen_schedule text, seen_hash text) RETURNS boolean
LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_job cron.job;
    mark text := format('/* headway-hold id=%s by=%s until=%s */ ', action_key, held_by, until);
BEGIN
    IF action_key !~ '^headway-[0-9a-z]{10,40}$' OR held_by !~ '^[A-Za-z0-9_.@+-]{1,64}$'
       OR until !~ '^[0-9TZ:.-]{20,27}$' THEN
        RAISE EXCEPTION 'not a hold of Headway: %', mark USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT * INTO found_job FROM cron.job j WHERE j.jobid = job FOR UPDATE;
    IF NOT FOUND OR starts_with(found_job.jobname, 'headway:rerun:') THEN
        RAISE EXCEPTION 'no pg_cron job %', job USING ERRCODE = 'no_data_found';
    ELSIF starts_with(found_job.command, mark) AND NOT found_job.active THEN
        RETURN true;
    ELSIF headway.hold_mark(found_job.command) <> '' THEN
        RAISE EXCEPTION 'pg_cron job % is held already', job;
    ELSIF NOT found_job.active THEN
        RAISE EXCEPTION 'pg_cron job % is not active: somebody else paused it', job;
    ELSIF found_job.schedule <> seen_schedule
          OR encode(sha256(textsend(found_job.command)), 'hex') <> seen_hash THEN
        RAISE EXCEPTION 'pg_cron job % was changed since it was looked at', job;
    -- pg_cron writes "failed: job canceled" for the run of a job that becomes inactive, and its statement runs on.
    ELSIF EXISTS (SELECT FROM cron.job_run_details d
                   WHERE d.runid > (SELECT max(runid) FROM cron.job_run_details) - 20000
                     AND d.jobid = job AND d.status NOT IN ('succeeded', 'failed')) THEN
        RAISE EXCEPTION 'pg_cron job % runs now: making it inactive would lose its run', job;
    END IF;
    PERFORM cron.alter_job(job, command := mark || found_job.command, active := false);
    RETURN true;
END $$;

-- Release: only a job that bears the mark with this id; its command is again what it was, byte for byte.
CREATE OR REPLACE FUNCTION headway.release(job bigint, hold_key text) RETURNS boolean
LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_job cron.job;
    mark text;
BEGIN
    SELECT * INTO found_job FROM cron.job j WHERE j.jobid = job FOR UPDATE;
    mark := headway.hold_mark(found_job.command);
    IF mark IS NULL OR NOT starts_with(mark, format('/* headway-hold id=%s by=', hold_key)) THEN
        RAISE EXCEPTION 'pg_cron job % does not bear hold %: nothing was changed', job, hold_key;
    END IF;
    PERFORM cron.alter_job(job, command := substr(found_job.command, length(mark) + 1), active := true);
    RETURN true;
END $$;

-- Clear: the hold mark alone, where a person has made the job active under it; active or not stays as it is.
CREATE OR REPLACE FUNCTION headway.clear(job bigint, hold_key text) RETURNS boolean
LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_job cron.job;
    mark text;
BEGIN
    SELECT * INTO found_job FROM cron.job j WHERE j.jobid = job FOR UPDATE;
    mark := headway.hold_mark(found_job.command);
    IF mark IS NULL OR NOT starts_with(mark, format('/* headway-hold id=%s by=', hold_key)) THEN
        RAISE EXCEPTION 'pg_cron job % does not bear hold %: nothing was changed', job, hold_key;
    END IF;
    PERFORM cron.alter_job(job, command := substr(found_job.command, length(mark) + 1));
    RETURN true;
END $$;

-- Cancel: only the backend that is proved to be this run's: its process, user and database, pg_cron's own, and no
-- younger than the run (a process number may be used again).
CREATE OR REPLACE FUNCTION headway.cancel(run bigint, action_key text) RETURNS boolean
LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_run cron.job_run_details;
BEGIN
    IF action_key !~ '^headway-[0-9a-z]{10,40}$' THEN
        RAISE EXCEPTION 'not an action key of Headway: %', action_key USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT * INTO found_run FROM cron.job_run_details d WHERE d.runid = run;
    IF NOT FOUND OR found_run.status IN ('succeeded', 'failed') THEN
        RAISE EXCEPTION 'pg_cron run % is not running', run;
    ELSIF NOT EXISTS (SELECT FROM pg_stat_activity a
                       WHERE a.pid = found_run.job_pid AND a.usename = found_run.username
                         AND a.datname = found_run.database AND 'pg_cron' IN (a.application_name, a.backend_type)
                         AND a.backend_start < found_run.start_time + interval '1 second') THEN
        RAISE EXCEPTION 'no backend that is proved to be that of pg_cron run %: nothing was cancelled', run;
    END IF;
    RAISE LOG 'Headway % cancels pg_cron run % (process %)', action_key, run, found_run.job_pid;
    RETURN pg_cancel_backend(found_run.job_pid);
END $$;

DO $$
DECLARE
    act text;
BEGIN
    FOREACH act IN ARRAY ARRAY['rerun(bigint, text)', 'unschedule(text)', 'release(bigint, text)', 'clear(bigint, text)',
                               'hold(bigint, text, text, text, text, text)', 'cancel(bigint, text)'] LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION headway.%s FROM PUBLIC', act);
        EXECUTE format('GRANT EXECUTE ON FUNCTION headway.%s TO headway_act', act);
    END LOOP;
    REVOKE ALL ON FUNCTION headway.hold_mark(text) FROM PUBLIC;
END $$;
