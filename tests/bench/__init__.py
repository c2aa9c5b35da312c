"""Benchmarks: `python -m tests.bench.NAME [--json] [--quick]` prints figures, each beside its anchor."""
