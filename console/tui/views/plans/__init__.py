"""Recovery plans: proposed, changed, started."""
