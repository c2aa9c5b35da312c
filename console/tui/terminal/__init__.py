"""The terminal: drivers, output, signals, keys typed ahead, other programs."""
