"""Headway's own rooms: what it remembers, decides, does and shows.

`docs/architecture.md` says which room may import which; `tests/test_architecture.py` holds it.
"""
