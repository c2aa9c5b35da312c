"""Headway watches nightly."""
