"""Any tables of jobs and runs in PostgreSQL, mapped in the config."""
