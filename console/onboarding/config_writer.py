"""Writes the first config, or adds systems to one: completely or not at all; a replaced file is kept beside it."""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path

from console.onboarding.schedulers import DetectedScheduler, fault_lines, unique_name
from console.text.cleaning import clean_line

WIDEST = 110
HEAD = """\
# Headway: this estate, as `headway init` found it on {host} on {day}. Edit it freely: a running engine applies
# changes within ten seconds, and `headway check` lists every problem. Secrets are references, never values.
# Every setting with its default: config.example.toml.

[estate]
name = {name}
starts_in = "shadow"   # observe and record only: no notifications, no actions; `headway shadow off` goes live
"""
ROUTES = """\
# ── routes: without one no alert is sent ────────────────────────────────────────────────────────────────────────────
{lead}[routes.oncall]
{lead}urls = [{url}]      # an apprise URL: mailtos://user:password@mail.example.com?to=oncall@example.com
"""
ALERTS = """\
{lead}
{lead}[alerts]
{lead}default_route = "oncall"

"""
NEXT = """\
# ── dependencies that no scheduler knows: a job that reads another's data ──────────────────────────────────────────
# [[dependencies]]
# upstream = "SYSTEM/JOB"
# downstream = "SYSTEM/JOB"

# ── a service: a deadline of the business; everything upstream belongs to it ───────────────────────────────────────
# [services.daily-revenue]
# delivered_by = ["SYSTEM/JOB"]
# deadline = "07:30"
# timezone = "Europe/Berlin"
"""
SERVICE_HEAD = "# ── the first service, proposed from history "
REPORTED_HEAD = "# ── a service, proposed from a deadline in Airflow's OpenLineage events "


@dataclass(frozen=True, slots=True)
class ConfiguredScheduler:
    """A detected scheduler for the config: as a system, or as a comment if `why_not` is set."""

    finding: DetectedScheduler
    why_not: str = ""


def first_config_text(
    name: str,
    host: str,
    now: datetime,
    schedulers: Sequence[ConfiguredScheduler],
    route: Mapping[str, object] | None = None,
) -> str:
    """The whole file, without a service. `route`: the reference to the URL of the one route; as a comment if None."""
    parts = [HEAD.format(host=clean_line(host), day=f"{now:%Y-%m-%d}", name=toml(name))]
    parts += ["\n".join(_system(scheduler)) + "\n" for scheduler in schedulers if scheduler.finding.name]
    if unreadable := [scheduler.finding for scheduler in schedulers if not scheduler.finding.name]:
        lines = ["# ── detected, needs a fix first: headway init finds it after that " + "─" * 54]
        lines += [line for finding in unreadable for line in _comments(finding)]
        parts.append("\n".join(lines) + "\n")
    routes = (ROUTES + ALERTS).format(lead="# " if route is None else "", url=toml(route or {"env": "ONCALL_MAIL"}))
    return "\n".join([*parts, routes.replace("# \n", "#\n") + NEXT])


def extended_config_text(
    text: str, schedulers: Sequence[ConfiguredScheduler], route: Mapping[str, object] | None
) -> str:
    """The text of a config with these systems and the route behind it; an earlier comment of init about one of the
    systems goes."""
    for scheduler in schedulers:
        block = (
            r"(?m)^# .*\(found\b.*\n(?:#(?! \[).*\n)*# To watch it remove the # below.*\n"
            rf"# \[systems\.{re.escape(scheduler.finding.name)}\]\n(?:# \w+ = .*\n)*\n?"
        )
        text = re.sub(block, "", text)
    parts = [text.rstrip() + "\n"] if text.strip() else []
    parts += ["\n".join(_system(scheduler)) + "\n" for scheduler in schedulers]
    return "\n".join(parts if route is None else [*parts, ROUTES.format(lead="", url=toml(route))])


def default_route_text(text: str) -> str:
    """The text of a config with the route of init as default in its [alerts]."""
    text, has_alerts = re.subn(r"(?m)^\[\s*alerts\s*\].*$", r'\g<0>\ndefault_route = "oncall"', text, count=1)
    return text if has_alerts else text + ALERTS.format(lead="").rstrip() + "\n"


def _system(scheduler: ConfiguredScheduler) -> Iterator[str]:
    finding = scheduler.finding
    yield from _comments(finding)
    if scheduler.why_not:
        reason = "" if scheduler.why_not == finding.note else f": {scheduler.why_not}"
        yield from commented(f"Not watched{reason.removesuffix('.')}.")
        yield from commented("To watch it remove the # below; headway check verifies it.")
    lead = "# " if scheduler.why_not else ""
    yield f"{lead}[systems.{finding.name}]"
    yield f"{lead}kind = {toml(finding.kind)}"
    yield from (f"{lead}{name} = {toml(value)}" for name, value in finding.settings.items())


def _comments(finding: DetectedScheduler) -> Iterator[str]:
    yield from commented(": ".join(filter(None, (finding.full_title, finding.count))) + f" (found in {finding.where})")
    if finding.note:
        yield from commented(finding.note)


def commented(text: str) -> Iterator[str]:
    """Any text as TOML comment lines; verbatim lines are not folded."""
    from textwrap import wrap  # noqa: PLC0415 - local: start-up time

    for line, is_verbatim in fault_lines(text):
        folded = [line] if is_verbatim else wrap(line, WIDEST, break_on_hyphens=False)
        yield from (f"# {part}" for part in folded)


def toml(value: object) -> str:
    """A value as TOML writes it; a mapping becomes an inline table."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return json.dumps(clean_line(str(value)), ensure_ascii=False)


def write_secret(folder: Path, name: str, value: str) -> dict[str, object]:
    """Writes a typed secret to a new file that only we may read ("name", or "name-2"); the reference to it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    while True:
        path = folder / unique_name(name, [existing.name for existing in folder.iterdir()])
        with suppress(FileExistsError):
            write_new(path, f"{value}\n")
            return {"file": str(path)}


def write_new(path: Path, text: str) -> None:
    """Writes a new file atomically. Raises FileExistsError if it exists."""
    with _temporary_file(path, text) as temporary:
        os.link(temporary, path)


def backup_path(path: Path) -> Path:
    """Backup name of a replaced config, beside the file itself, not used before."""
    path = path.resolve()
    names = (f"{path.name}.before-init{f'-{number}' if number > 1 else ''}" for number in count(1))
    return next(backup for name in names if not (backup := path.with_name(name)).exists())


def replace_with_backup(path: Path, backup: Path, text: str) -> None:
    """Replaces a file, or that of a link, atomically; the old one stays as `backup`. Raises FileExistsError if `backup`
    exists."""
    path = path.resolve()
    with _temporary_file(path, text) as temporary:
        os.link(path, backup)
        os.replace(temporary, path)


def replace_if_unchanged(path: Path, text: str, expected: str) -> bool:
    """Replaces the file, or that of a link, if its text is `expected`; False, without a change, if it was edited
    meanwhile."""
    path = path.resolve()
    with _temporary_file(path, text) as temporary:
        if path.read_text("utf-8") != expected:
            return False
        os.replace(temporary, path)
    return True


@contextmanager
def _temporary_file(path: Path, text: str) -> Iterator[Path]:
    """The text in a temporary file next to `path`, with its mode and owner, synced to disk; removed afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        replaced = path.stat() if path.exists() else None
        if replaced is not None and os.geteuid() == 0:
            os.chown(temporary, replaced.st_uid, replaced.st_gid)
        temporary.chmod(0o600 if replaced is None else stat.S_IMODE(replaced.st_mode))
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
