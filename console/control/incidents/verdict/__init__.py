"""The verdict of an incident: decided as a value, and written for alerts, commands, the console and programs."""
