"""What should have run and what should be in the data: expected runs, grace, checks, inventory."""
