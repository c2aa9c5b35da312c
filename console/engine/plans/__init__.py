"""Recovery plans and backfills: proposing and executing them."""
