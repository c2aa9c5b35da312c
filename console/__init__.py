"""Headway's own rooms: what it remembers, decides, does and shows. `docs/architecture.md` says which may import which."""
