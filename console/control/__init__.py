"""Decisions. Pure: values and the time in, decisions out; nothing is read, sent or stored, no clock is read."""
