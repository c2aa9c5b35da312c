-- What Headway needs at a pg_cron, and no more. Run once, as a superuser, in the database that cron.database_name
-- names; running it again changes nothing. Then make logins and put them in:
--     CREATE ROLE headway LOGIN PASSWORD '...';
--     GRANT headway_view TO headway;          -- to watch
--     GRANT headway_act TO headway;           -- to rerun as well

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

-- Act: run an existing job once more as its owner, and take that one-shot entry away again; no SQL of the caller's.
-- The functions belong to the superuser who runs this file: only a superuser may schedule for others.
-- (pg_cron lets every role with USAGE on schema cron schedule SQL as itself. Where that is too much:
-- REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA cron FROM PUBLIC, and grant it to the owners of jobs.)
CREATE SCHEMA IF NOT EXISTS headway;
REVOKE ALL ON SCHEMA headway FROM PUBLIC;
GRANT USAGE ON SCHEMA headway TO headway_act;

CREATE OR REPLACE FUNCTION headway.rerun(job bigint, action_key text) RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    original cron.job;
    entry text := format('headway:rerun:%s:%s', job, action_key);
    -- The next full minute that is at least 5 s away: pg_cron must have read the entry by then, or it waits a year.
    due timestamp := date_trunc('minute', clock_timestamp() AT TIME ZONE
                                coalesce(current_setting('cron.timezone', true), 'UTC') + interval '65 seconds');
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
                                       format('/* %s */ %s', entry, original.command),
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

REVOKE ALL ON FUNCTION headway.rerun(bigint, text), headway.unschedule(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION headway.rerun(bigint, text), headway.unschedule(text) TO headway_act;
