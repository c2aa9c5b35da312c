"""The log of a run: the file that Slurm wrote StdOut to, then that of StdErr where it is another, in chunks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from connectors.sdk.errors import NotSupported
from connectors.sdk.fields import masked_head, reference_row
from connectors.sdk.log_chunks import byte_offset, chunk_of_file
from connectors.sdk.records import LogChunk, RunRef
from connectors.slurm import parse
from connectors.slurm.client import SlurmClient

PATTERN = re.compile(r"%(\d*)([%AajJuxNnst])")
OUTPUT_OPTION = re.compile(r"(?:^|\s)(?:-o\s*|--output[=\s])(\S+)")
ERROR_OPTION = re.compile(r"(?:^|\s)(?:-e\s*|--error[=\s])(\S+)")


def read_log(client: SlurmClient, run: RunRef, start: str | None, limit_bytes: int) -> LogChunk:
    """As the contract says; of an array, the output of a task that failed, or of the first."""
    ref = reference_row(run.native_ref)
    part, user = str(ref.get("part", "")), str(ref.get("user", ""))
    if not parse.base_of(part) or not user:
        raise NotSupported(f"{run.job}: no job id is known for this run, so its output cannot be found")
    offset = None if start is None else byte_offset(start)
    out, err = log_paths(client.ask([("outputs", part)]).lines("PATHS"), ref)
    values = (user, out, err, str(limit_bytes), "tail" if offset is None else str(offset))
    answer = client.ask([("output", *values)])
    chunk = answer.section("CHUNK")
    size = answer.section("SIZE")
    if chunk is None or size is None:
        none = answer.section("NOFILE")
        raise NotSupported(f"{run.job} {part}: {masked_head(none.rest, 300) if none else 'no output was found'}")
    whole = int(size.rest.strip() or 0)
    begin = whole - len(chunk.body[:limit_bytes]) if offset is None else offset
    return chunk_of_file(chunk.body, begin, whole, start, limit_bytes)


def log_paths(reported: list[str], ref: Mapping[str, Any]) -> tuple[str, str]:
    """Where StdOut and StdErr went: as slurmctld knows; else by the command line, the script, Slurm's own default."""
    live = {line[:6]: line[7:] for line in reported if line.startswith(("StdOut=", "StdErr="))}
    if live.get("StdOut"):
        return live["StdOut"], live.get("StdErr", "")
    directives = [line.removeprefix("#SBATCH") for line in reported if line.startswith("#SBATCH")]
    texts = [str(ref.get("line", "")), *directives]

    def requested(pattern: re.Pattern[str]) -> str:
        matches = (pattern.search(text) for text in texts)
        return next((match[1].strip("\"'") for match in matches if match), "")

    default = "slurm-%A_%a.out" if "_" in str(ref.get("part", "")) else "slurm-%j.out"
    error_path = requested(ERROR_OPTION)
    return _path(requested(OUTPUT_OPTION) or default, ref), _path(error_path, ref) if error_path else ""


def _path(pattern: str, ref: Mapping[str, Any]) -> str:
    """Source: FILENAME PATTERN of sbatch(1). A part's own id (%j of an array) is not kept: its path has it."""
    base, _, task = str(ref.get("part", "")).partition("_")
    user, name = str(ref.get("user", "")), str(ref.get("name", ""))
    values = {"%": "%", "A": base, "a": task, "j": base, "J": base, "u": user, "x": name}

    def value(result: re.Match[str]) -> str:
        text = values.get(result[2], "0")
        return text.zfill(min(int(result[1] or 0), 10)) if text.isdigit() else text

    path = PATTERN.sub(value, pattern)
    return path if path.startswith("/") else f"{str(ref.get('dir', '')).rstrip('/')}/{path}"
