"""What was taken is asked whether it lets us in, as `headway check` does, and the config is put into its place."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from console.cli.common import Stop, say_lines
from console.cli.exits import Exit
from console.onboarding.finding import Finding
from console.onboarding.writing import Taken, config_text, kept_beside, write_instead, write_new

WATCHABLE = ("ok", "missing rights")
"""Verdicts of a probe with which a system is worth watching."""


def probed(chosen: Sequence[Finding], timeout: float) -> dict[str, str]:
    """Asks every target of what was taken, and says what each answered; key -> why it cannot be watched."""
    from connectors.secrets import SecretStore
    from console.cli.check import probe_all
    from console.config import ConfigFaults, load_config

    with tempfile.TemporaryDirectory(prefix="headway-init-") as folder:
        path = Path(folder) / "headway.toml"
        path.write_text(config_text("init", "", datetime.now(UTC), [Taken(one) for one in chosen]), encoding="utf-8")
        try:
            config = load_config(path)
        except ConfigFaults as faults:
            raise Stop(Exit.USAGE, f"what was found makes no config:\n{faults}") from None
    say_lines([""])
    keys = {one.name: one.key for one in chosen}
    why_not: dict[str, str] = {}
    for found in probe_all(config, SecretStore(), timeout):
        say_lines([f"  {found.target}: {found.verdict}" + (f", {found.version}" if found.version else "")])
        say_lines([f"    {words}" for words in (*found.words, *found.notes) if found.verdict != "ok"])
        if found.verdict not in WATCHABLE:
            key = keys[found.target.partition("/")[0]]
            why_not[key] = "; ".join([found.verdict, *found.words])
    return why_not


def put(path: Path, text: str) -> None:
    """The config in its place; one that a person gave up is kept beside it. Raises Stop where that cannot be."""
    try:
        if path.exists():
            write_instead(path, kept_beside(path), text)
        else:
            write_new(path, text)
    except OSError as error:
        raise Stop(Exit.USAGE, f"{error.filename or path}: {error.strerror}; nothing was written") from None
