"""Text from outside made harmless, and text for people."""
