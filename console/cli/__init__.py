"""Commands: data on stdout, messages on stderr, exit codes from `exits`. One module per noun."""
