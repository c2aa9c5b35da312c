"""The database: opening, migrating, leases, backup, and connections for engine, clients and readers."""
