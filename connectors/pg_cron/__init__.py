"""pg_cron: jobs inside PostgreSQL, read from `cron.job` and `cron.job_run_details`, rerun by one-shot entries."""
