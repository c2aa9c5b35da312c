"""The config of an estate and the preferences of a person: TOML in, checked settings out. Bad config changes
nothing.
"""
