"""Commands: data on stdout, narration on stderr, exit codes written down in `exits`."""
