"""Dagster, by the GraphQL API of its webserver."""
