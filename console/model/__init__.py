"""The vocabulary: what decisions see (values), what is remembered (tables), how things are named (ids)."""
