"""Widgets and painting: tables, text, drawings, bars. They know nothing of jobs or runs."""
