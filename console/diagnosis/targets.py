"""Checks of the targets: their answers, their clocks, and secrets that differ between this shell and the engine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from connectors.sdk.secrets import env_references
from console.diagnosis.installation import Installation, Level, Problem
from console.store.db.lease import local_pid

if TYPE_CHECKING:
    from console.config.sections import Config
    from console.diagnosis.probes import ProbeResult
    from console.domain.header import HeaderView

CLOCK_FIX = "synchronize the clock of that machine (timedatectl, chrony)"
MAX_SKEW_SECONDS = 5.0
"""With a larger skew a start may look missed, or may be assigned to another minute."""


def answers(installation: Installation) -> Iterator[Problem]:
    """Yields the problems and notes of all probes, and each secret that only the engine can use, or has otherwise."""
    failed = [result for result in installation.probes if result.is_fault]
    variables = variables_of(installation.config, failed)
    differing = differing_secrets(installation.header, installation.secrets.variables, variables)
    problems = merged(_texts(installation.probes), differing)
    reported = {problem.text for problem in problems}
    yield from problems
    yield from (problem for problem in differing.values() if problem.text not in reported)


def _texts(results: Iterable[ProbeResult]) -> Iterator[tuple[Level, str, str]]:
    for result in results:
        level = Level.PROBLEM if result.is_fault else Level.NOTE
        texts = result.text or (("no reason given",) if result.is_fault else ())
        yield from ((level, result.target, text) for text in texts)
        yield from ((Level.PROBLEM, result.target, fault) for fault in result.faults)
        yield from ((Level.NOTE, result.target, note) for note in result.notes)


def merged(texts: Iterable[tuple[Level, str, str]], differing: Mapping[str, Problem]) -> list[Problem]:
    """One problem for each level and text, with all its targets. `differing` replaces what the probes report of the
    same variable."""
    targets: dict[Problem, list[str]] = {}
    for level, target, text in texts:
        variable = next((name for name in differing if text.startswith(f"secret env {name}: ")), "")
        own = differing.get(variable)
        problem = Problem(level, "", own.text, own.fix) if own else Problem(level, "", text)
        targets.setdefault(problem, []).append(target)
    return [replace(problem, subject=", ".join(dict.fromkeys(names))) for problem, names in targets.items()]


def variables_of(config: Config, results: Iterable[ProbeResult]) -> set[str]:
    """Environment variables with secrets of these targets."""
    variables = set[str]()
    for result in results:
        name = result.target.partition("/")[0].removeprefix("check ")
        settings = config.systems[name].options if name in config.systems else config.checks.get(name)
        variables.update(env_references(settings), re.findall(r"\(env (\w+)\)$", result.target))
    return variables


def differing_secrets(
    header: HeaderView | None, variables: Iterable[str], failed: Iterable[str] = ()
) -> dict[str, Problem]:
    """The variables that the running engine has with another value than this shell, each with its problem; empty where
    the environment of the engine cannot be read. `failed`: variables whose value here fails its probe."""
    pid, engine_environment = engine_environment_of(header)
    problems = {}
    for name in sorted(variables) if engine_environment else []:
        value, engine_value = os.environb.get(name.encode(), b""), engine_environment.get(name.encode(), b"")
        if engine_value and not value:
            text = f"{name} is set for the engine (process {pid}) but not in this shell, so check cannot use it"
            problems[name] = Problem(Level.NOTE, "environment", text, f"export {name} here")
        elif value != engine_value:
            text = f"{name} differs between this shell and the engine (process {pid})"
            fix = "correct it in this shell" if name in failed else "restart the engine from this shell"
            problems[name] = Problem(Level.NOTE, "environment", text, fix)
    return problems


def differs_in_engine(header: HeaderView | None, name: str) -> bool:
    """True if this shell has the variable, and the running engine has another value or none."""
    return bool(os.environ.get(name)) and name in differing_secrets(header, [name])


def engine_environment_of(header: HeaderView | None) -> tuple[int | None, dict[bytes, bytes]]:
    """Process and environment of the running engine; empty where it cannot be read."""
    pid = local_pid(header.engine.holder) if header is not None and header.engine.alive else None
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if pid is not None else []
    except OSError:
        entries = []
    return pid, dict(entry.partition(b"=")[::2] for entry in entries if entry)


def clocks(installation: Installation) -> Iterator[Problem]:
    """Yields each clock that is off; this machine's own if most targets differ from it by a similar amount."""
    skews = {target.target: target.skew_seconds for target in installation.probes if target.skew_seconds is not None}
    off = {target: skew for target, skew in skews.items() if abs(skew) > MAX_SKEW_SECONDS}
    middle = median(skews.values()) if skews else 0.0
    if len(skews) > 1 and abs(middle) > MAX_SKEW_SECONDS and len(off) > len(skews) / 2:
        text = f"most systems are about {middle:+.0f} s from this machine: this machine's clock is off"
        yield Problem(Level.PROBLEM, "clock", text, "timedatectl set-ntp true")
        return
    for target, skew in off.items():
        text = f"the clock of {target} is {skew:+.0f} s from this machine; start times use its clock"
        yield Problem(Level.PROBLEM, "clock", text, CLOCK_FIX)
    if skews and not off:
        worst = max(abs(skew) for skew in skews.values())
        noun = "system" if len(skews) == 1 else "systems"
        yield Problem(Level.OK, "clock", f"{len(skews)} {noun} within {worst:.1f} s of this machine")
