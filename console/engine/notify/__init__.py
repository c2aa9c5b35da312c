"""Delivery of alerts: routing, outbox, senders, on-call calendars, self-monitoring."""
