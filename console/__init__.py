"""Headway: the store, the engine, its decisions, the console and the commands.

`docs/architecture.md` says which package may import which; `tests/test_architecture.py` checks it.
"""
