"""Holds: conditions, gates and the state machine that holds and releases downstream starts."""
