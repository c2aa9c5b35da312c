"""Rows into the estate that one evaluation sees, cached between evaluations."""
