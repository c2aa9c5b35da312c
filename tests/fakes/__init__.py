"""Stand-ins for schedulers, small enough to read; each passes the conformance tests of its kind."""
