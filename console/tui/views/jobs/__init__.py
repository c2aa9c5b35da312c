"""Jobs: the list, one job, and what is done with it."""
