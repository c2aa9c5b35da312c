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
from tests.golden.webhooks import webhook_texts

FOLDER = Path(__file__).parent
COMMANDS, WEBHOOKS = FOLDER / "commands", FOLDER / "webhooks"
MAX_DIFF_LINES = 60


def dump() -> Mapping[str, str]:
    """Every golden text by its path below FOLDER."""
    with TemporaryDirectory(prefix="headway-golden-") as folder, recorded_night(Path(folder)) as night:
        texts = {f"commands/{name}": text for name, text in night.outputs().items()}
        schema = schema_text(night.store_path)
        sent = night.sent_text()
    files = {"help.txt": help_text(), "alerts.txt": alerts_text() + sent, "schema.txt": schema}
    return files | texts | dict(webhook_texts())


def stored() -> Mapping[str, str]:
    """The committed files, by the same paths."""
    paths = [FOLDER / name for name in ("help.txt", "alerts.txt", "schema.txt")]
    paths += sorted(COMMANDS.glob("*.json")) + sorted(COMMANDS.glob("*.txt")) + sorted(WEBHOOKS.glob("*.json"))
    return {str(path.relative_to(FOLDER)): path.read_text(encoding="utf-8") for path in paths if path.exists()}


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
    COMMANDS.mkdir(exist_ok=True)
    WEBHOOKS.mkdir(exist_ok=True)
    for name in stored().keys() - texts.keys():
        (FOLDER / name).unlink()
    for name, text in texts.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
