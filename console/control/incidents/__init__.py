"""Root causes, correlation, impact and lifecycle of incidents."""
