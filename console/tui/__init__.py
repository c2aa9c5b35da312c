"""The console: screens that show what the store remembers and ask the engine for what a person wants.

A screen never waits: `desk.Desk` threads read and ask, handlers own the widgets, `rows` decides what a cell says.
"""
