"""The first config as text, and how it gets into its file: whole or not at all, and never over another one."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path

from console.clean import clean_line
from console.onboarding.finding import Finding

WIDEST = 110
HEAD = """\
# Headway: this estate, as `headway init` found it on {host} on {day}. It is yours to edit; an engine that works takes
# up what is changed within seconds, and `headway check` names every fault. Secrets are references, never values.
# Every setting with its default: config.example.toml.

[estate]
name = {name}
starts_in = "shadow"   # all is watched, judged and recorded, and nothing is sent; `headway shadow off` turns it live
"""
NEXT = """\
# ── who is told, once it is live: without a route nobody is ────────────────────────────────────────────────────────
# [routes.oncall]
# urls = [{ env = "ONCALL_MAIL" }]      # an apprise URL in that variable: mailto://user:password@mail.example.com
#
# [alerts]
# default_route = "oncall"

# ── what no scheduler knows: which job reads what another one wrote ────────────────────────────────────────────────
# [[dependencies]]
# upstream = "SYSTEM/JOB"
# downstream = "SYSTEM/JOB"

# ── a service: what the business was promised, by when; everything upstream belongs to it ──────────────────────────
# [services.daily-revenue]
# delivered_by = ["SYSTEM/JOB"]
# deadline = "07:30"
# timezone = "Europe/Berlin"
"""
SERVICE_HEAD = "# ── the first service, proposed from history "


@dataclass(frozen=True, slots=True)
class Taken:
    """A finding that goes into the config: as a system, or as a comment where `why_not` says why."""

    finding: Finding
    why_not: str = ""


def config_text(name: str, host: str, now: datetime, taken: Sequence[Taken]) -> str:
    """The whole file, without a service."""
    parts = [HEAD.format(host=clean_line(host), day=f"{now:%Y-%m-%d}", name=toml(name))]
    parts += ["\n".join(_system(one)) + "\n" for one in taken if one.finding.name]
    if later := [one.finding for one in taken if not one.finding.name]:
        lines = ["# ── found, not yet watched: Headway has no connector for these yet " + "─" * 48]
        lines += [line for one in later for line in _remarks(one)]
        parts.append("\n".join(lines) + "\n")
    return "\n".join([*parts, NEXT])


def _system(one: Taken) -> Iterator[str]:
    found = one.finding
    yield from _remarks(found)
    if one.why_not == found.words:
        yield "# Not watched. To watch it take the # away below; headway check tells."
    elif one.why_not:
        yield from commented(f"Not watched: {one.why_not}. To watch it take the # away below; headway check tells.")
    lead = "# " if one.why_not else ""
    yield f"{lead}[systems.{found.name}]"
    yield f"{lead}kind = {toml(found.kind)}"
    yield from (f"{lead}{name} = {toml(value)}" for name, value in found.settings.items())


def _remarks(found: Finding) -> Iterator[str]:
    yield from commented(": ".join(filter(None, (found.title, found.count))) + f" (found in {found.where})")
    if found.words:
        yield from commented(found.words)


def commented(text: str) -> Iterator[str]:
    """A text from anywhere as lines of a TOML comment."""
    from textwrap import wrap  # noqa: PLC0415 - the first paint of nobody needs it

    yield from (f"# {line}" for line in wrap(clean_line(text), WIDEST, break_on_hyphens=False))


def toml(value: object) -> str:
    """A value as TOML writes it; a mapping becomes an inline table."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return "[" + ", ".join(toml(one) for one in value) + "]"
    return json.dumps(clean_line(str(value)), ensure_ascii=False)


def write_new(path: Path, text: str) -> None:
    """Writes a file that is not there yet, whole or not at all. Raises FileExistsError where somebody was faster."""
    with _beside(path, text) as made:
        os.link(made.path, path)


def kept_beside(path: Path) -> Path:
    """Where a config that is given up stays: a name that no earlier one has."""
    names = (f"{path.name}.before-init{f'-{number}' if number > 1 else ''}" for number in count(1))
    return next(kept for name in names if not (kept := path.with_name(name)).exists())


def write_instead(path: Path, kept: Path, text: str) -> None:
    """Puts the text into the place of a file, which stays beside it as `kept`; at no moment there is none. Raises
    FileExistsError where `kept` is there."""
    with _beside(path, text) as made:
        os.link(path, kept)
        os.replace(made.path, path)


def write_over(path: Path, text: str, expected: str) -> bool:
    """Puts the text into the place of `expected`; False, and nothing is changed, where somebody edited it meanwhile."""
    with _beside(path, text) as made:
        if path.read_text("utf-8") != expected:
            return False
        os.replace(made.path, path)
    return True


class _beside:
    """The text in a file beside `path`, on the disk; gone again afterwards, however it ends."""

    def __init__(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        self.path = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            self.path.chmod(0o600)
        except BaseException:
            self.path.unlink()
            raise

    def __enter__(self) -> _beside:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(FileNotFoundError):
            self.path.unlink()
