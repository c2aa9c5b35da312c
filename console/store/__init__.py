"""What is remembered: `open`, `ingest`, `inventory`, `config_sync`, `estate`, `apply`; screens read through `reads`."""
