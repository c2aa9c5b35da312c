"""Parsers that only a limit ends. Their process imports nothing else."""

from __future__ import annotations


def wait_forever() -> None:
    while True:
        pass


def take_memory() -> int:
    return len(bytes(4 * 1024**3))
