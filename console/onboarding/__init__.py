"""The first minutes: detecting schedulers, writing the config that watches them, proposing the first service."""
