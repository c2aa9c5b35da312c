"""Profiles: TOML files that each make a REST API or tables a kind of their own (docs/adding-a-connector.md)."""
