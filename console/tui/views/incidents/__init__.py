"""Incidents: the list, one incident with its tabs, and what a person does with it."""
