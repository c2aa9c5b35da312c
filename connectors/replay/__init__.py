"""A night that can be played again: recorded or generated data behind the same door as a real scheduler."""
