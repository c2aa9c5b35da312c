"""Policies: the repairs that they would send, and policies proposed for what people repaired."""
