"""AWS Batch: job definitions, the jobs that were submitted of them, and their queues in one region of one account."""
