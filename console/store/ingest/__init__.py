"""Polls into rows: records, inventories, targets."""
