"""Requests of the console and the CLI (client), and their answers (server). The client side loads nothing heavy."""
