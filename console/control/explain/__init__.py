"""Explanations for commands and screens: why a job is not running, why a service is late, lineage, timeline."""
