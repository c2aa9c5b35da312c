"""Airflow 3 over its public REST API. Copy this room, or step_functions, to begin another REST kind."""
