"""Dependencies that no scheduler and no config names, suggested from history."""
