"""Steps that people complete."""
