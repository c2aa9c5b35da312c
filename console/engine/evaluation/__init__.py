"""Turning facts and passed time into decisions, with forecasts."""
