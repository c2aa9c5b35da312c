"""Prefect 3, its own server or Prefect Cloud, over REST."""
