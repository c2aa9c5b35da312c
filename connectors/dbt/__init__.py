"""dbt projects on hosts, by their artifacts and dbt's own log."""
