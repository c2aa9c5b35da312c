"""AWS Glue: jobs, their triggers and their runs, in one region of one account."""
