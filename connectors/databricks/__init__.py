"""Databricks Jobs, by its REST API 2.2."""
