"""Data checks: when they are due, and how they are run."""
