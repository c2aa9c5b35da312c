"""The part that speaks to schedulers. It knows nothing of `console`, so a connector can live in any other package."""
