"""What a team or one person has the console do otherwise: keys and saved views.

Read by the console before its first paint, by config as `[console.keys]` and `[views.NAME]`, and by commands as
`--view`: so nothing heavy is imported here.
"""
