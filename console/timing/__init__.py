"""Zones, calendars, schedules and business dates."""
