"""Airflow 2 and 3 over their public REST APIs."""
