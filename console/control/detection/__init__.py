"""Detection: rules that find problems of a job before it is red, or beside that, from the job's own past."""
