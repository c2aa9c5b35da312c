"""Applications that a Spark history server lists."""
