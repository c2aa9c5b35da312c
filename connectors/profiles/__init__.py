"""Profiles: TOML files that each make a system of the kind `http` a kind of its own (docs/adding-a-connector.md)."""
