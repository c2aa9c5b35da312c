"""Lineage: jobs and their dependencies as a graph."""
