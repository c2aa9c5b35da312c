"""Jobs that report by HTTP ping, in the manner of healthchecks.io."""
