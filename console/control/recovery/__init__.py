"""Recovery plans: proposal, fewest steps, backfill and execution."""
