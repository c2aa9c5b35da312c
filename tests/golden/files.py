"""Golden files: which there are, how they are compared, how they are written."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.golden.alerts import alerts_text
from tests.golden.help import help_text
from tests.golden.night import recorded_night
from tests.golden.schema import schema_text
from tests.golden.webhooks import webhook_schema

FOLDER = Path(__file__).parent
WEBHOOK = FOLDER / "webhook.json"
MAX_DIFF_LINES = 60


def dump() -> Mapping[str, str]:
    """Every golden text by its name in FOLDER."""
    with TemporaryDirectory(prefix="headway-golden-") as folder, recorded_night(Path(folder)) as night:
        commands, schema = "\n".join(night.outputs()) + "\n", schema_text(night.store_path)
    texts = {"help.txt": help_text(), "alerts.txt": alerts_text(), "commands.txt": commands, "schema.txt": schema}
    return texts | {WEBHOOK.name: webhook_schema()}


def stored() -> Mapping[str, str]:
    """The committed files, by the same names."""
    paths = [*FOLDER.glob("*.txt"), *FOLDER.glob("*.json")]
    return {path.name: path.read_text(encoding="utf-8") for path in paths}


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    """A unified diff of each file that differs."""
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name, ""), after.get(name, "")
        if old != new or (name in before) != (name in after):
            lines = list(
                difflib.unified_diff(old.splitlines(), new.splitlines(), f"a/{name}", f"b/{name}", "", "", 1, "")
            )
            more = [f"... {len(lines) - MAX_DIFF_LINES} more lines"] if len(lines) > MAX_DIFF_LINES else []
            yield "\n".join([*lines[:MAX_DIFF_LINES], *more])


def write(texts: Mapping[str, str]) -> None:
    """Writes every file, and deletes those that are no longer dumped."""
    for name in stored().keys() - texts.keys():
        (FOLDER / name).unlink()
    for name, text in texts.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
