"""Connectors to schedulers. Nothing here imports `console`, so a connector may live in any other package."""
