"""The vocabulary: one module per concept, with its values and its views. Standard library only, but for `schema`."""
