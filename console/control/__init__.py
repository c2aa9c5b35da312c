"""Decides. Pure: values and the time in, decisions out; nothing is read, sent or remembered, no clock is asked."""
