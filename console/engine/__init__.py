"""Where IO meets: polls in, decisions applied, alerts and actions out. It needs no screen."""
