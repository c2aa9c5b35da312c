"""Delta and Iceberg tables, whose commits are runs."""
