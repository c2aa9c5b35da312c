"""Sessions with hosts, HTTP APIs and databases: deadlines, size limits, errors sorted by what happens next."""
