"""Services: the first screen."""
