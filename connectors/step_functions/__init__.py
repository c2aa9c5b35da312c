"""AWS Step Functions: state machines and their executions in one region, rerun by redrive or by starting again."""
