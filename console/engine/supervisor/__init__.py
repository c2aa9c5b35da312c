"""The life of an engine process: lease, workers, config reload, health and heartbeat."""
