"""Sending actions to schedulers at most once, and verifying their outcome."""
