"""Any REST API that lists jobs and runs, mapped in the config."""
