"""Actions: requests to schedulers, their preview and their outcome."""
