"""AWS Batch: job definitions, the jobs submitted from them, and their queues, in one region of one account."""
