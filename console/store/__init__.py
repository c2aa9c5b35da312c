"""The store: the database, ingest, the estate snapshot, queries of screens, and one module per context."""
