"""The first minutes: what schedulers are here, the config that watches them, and the first promise."""
