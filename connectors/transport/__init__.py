"""Sessions, deadlines, size limits, errors sorted: how connectors speak to the outside, written once."""
