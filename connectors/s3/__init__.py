"""Objects that are expected to arrive in a bucket of S3."""
