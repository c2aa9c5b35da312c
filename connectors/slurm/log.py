"""The output of a run: the file that Slurm wrote StdOut to, then that of StdErr where it is another, in pieces."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from connectors.contract import LogChunk, NotSupported, RunRef
from connectors.slurm import parse
from connectors.slurm.client import SlurmClient, call
from connectors.slurm.poll import reference
from connectors.transport.answer import text_of

PATTERN = re.compile(r"%(\d*)([%AajJuxNnst])")
ASKED = {
    "out": re.compile(r"(?:^|\s)(?:-o\s*|--output[=\s])(\S+)"),
    "err": re.compile(r"(?:^|\s)(?:-e\s*|--error[=\s])(\S+)"),
}


def log(client: SlurmClient, run: RunRef, start: str | None, limit_bytes: int) -> LogChunk:
    """As the contract says; of an array, the output of a task that failed, or of the first."""
    ref = reference(run)
    part, user = str(ref.get("part", "")), str(ref.get("user", ""))
    if not parse.base_of(part) or not user:
        raise NotSupported(f"{run.job}: no job id is known for this run, so its output cannot be found")
    if start is not None and not (start.isascii() and start.isdigit() and len(start) < 19):
        raise NotSupported(f"not a place in a log: {start[:40]!r}")
    out, err = paths(parse.lines(parse.section(client.ask([call("outputs", part)]), "PATHS")), ref)
    values = (user, out, err, str(limit_bytes), "tail" if start is None else start)
    answer = client.ask([call("output", *values)])
    chunk = parse.section(answer, "CHUNK")
    size = parse.section(answer, "SIZE")
    if chunk is None or size is None:
        none = parse.section(answer, "NOFILE")
        raise NotSupported(f"{run.job} {part}: {none.rest[:300] if none else 'no output was found'}")
    data, whole = chunk.body[:limit_bytes], int(size.rest.strip() or 0)
    begin = whole - len(data) if start is None else int(start)
    end = begin + len(data)
    return LogChunk(text_of(data), str(end), end < whole and bool(data), begin > 0 or end < whole)


def paths(told: list[str], ref: Mapping[str, Any]) -> tuple[str, str]:
    """Where StdOut and StdErr went: as slurmctld knows; else by the command line, the script, Slurm's own default."""
    live = {line[:6]: line[7:] for line in told if line.startswith(("StdOut=", "StdErr="))}
    if live.get("StdOut"):
        return live["StdOut"], live.get("StdErr", "")
    texts = [str(ref.get("line", "")), *(line.removeprefix("#SBATCH") for line in told if line.startswith("#SBATCH"))]
    asked = {name: _first(pattern, texts) for name, pattern in ASKED.items()}
    out = asked["out"] or ("slurm-%A_%a.out" if "_" in str(ref.get("part", "")) else "slurm-%j.out")
    return _place(out, ref), _place(asked["err"], ref) if asked["err"] else ""


def _first(pattern: re.Pattern[str], texts: list[str]) -> str:
    found = (pattern.search(text) for text in texts)
    return next((one[1].strip("\"'") for one in found if one), "")


def _place(pattern: str, ref: Mapping[str, Any]) -> str:
    """Source: FILENAME PATTERN of sbatch(1). A part's own id (%j of an array) is not kept: told as its path."""
    base, _, task = str(ref.get("part", "")).partition("_")
    user, name = str(ref.get("user", "")), str(ref.get("name", ""))
    values = {"%": "%", "A": base, "a": task, "j": base, "J": base, "u": user, "x": name}

    def value(found: re.Match[str]) -> str:
        text = values.get(found[2], "0")
        return text.zfill(min(int(found[1] or 0), 10)) if text.isdigit() else text

    path = PATTERN.sub(value, pattern)
    return path if path.startswith("/") else f"{str(ref.get('dir', '')).rstrip('/')}/{path}"
