"""AWS Step Functions: state machines and their executions in one region, rerun by redrive or as a new execution."""
