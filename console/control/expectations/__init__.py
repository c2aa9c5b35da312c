"""Expected runs, grace, data checks and inventory."""
