"""The console in a browser: access, one process per visitor, and the page that shows it."""
