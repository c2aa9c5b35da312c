"""pgAgent: jobs and steps in tables of PostgreSQL, run by an agent process."""
