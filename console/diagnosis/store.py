"""Checks of the store and of the engine that works on it."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from connectors.sdk.transport.libpq import unverified_store
from console.config.paths import NoStore
from console.diagnosis.installation import Installation, Level, Problem
from console.diagnosis.targets import CLOCK_FIX, MAX_SKEW_SECONDS
from console.domain.header import lease_holder_text
from console.domain.switches import format_freeze
from console.timing.durations import format_duration

MIN_FREE_BYTES = 1024**3


def access(installation: Installation) -> Iterator[Problem]:
    """Yields why the store cannot be read: a note if the next start of an engine creates or migrates it. For an invalid
    config that names none, the faults of the config are reported instead."""
    error = installation.store_error
    if error and not (installation.faults and isinstance(error, NoStore)):
        yield Problem(Level.NOTE if installation.awaits_engine else Level.PROBLEM, "store", str(error))


def unverified_server(installation: Installation) -> Iterator[Problem]:
    """Yields a note for each setting of the store's URL by which data crosses a network unprotected."""
    yield from (Problem(Level.NOTE, "store", text) for text in unverified_store(installation.store_url))


def file(installation: Installation) -> Iterator[Problem]:
    """Yields size, free disk space and mode of an embedded store. A URL is not printed: it may contain a password."""
    if installation.store_error:
        return
    path = Path(installation.store_url.removeprefix("sqlite:///"))
    if not path.is_file():
        yield Problem(Level.OK, "store", "the shared store answers")
        return
    free, mode = shutil.disk_usage(path.parent).free, stat.S_IMODE(path.stat().st_mode)
    size = f"{path.stat().st_size / 1024**2:.1f} MiB, {free / 1024**3:.1f} GiB free"
    yield Problem(Level.OK, "store", f"{path}: {size}")
    if free < MIN_FREE_BYTES:
        fix = "free disk space: a full disk stops the engine"
        yield Problem(Level.PROBLEM, "store", f"less than 1 GiB is free in {path.parent}", fix)
    if mode & 0o077:
        yield Problem(Level.PROBLEM, "store", f"{path} can be read by others (mode {mode:o})", f"chmod 600 {path}")
    if not os.access(path, os.W_OK):
        text = f"{path} is not writable for you: no request is possible"
        yield Problem(Level.NOTE, "store", text, "run as the owner of the file")


def clock(installation: Installation) -> Iterator[Problem]:
    """Yields a problem if the clock of a shared store's host is off."""
    ahead = installation.read_store(lambda reads: reads.link.real_now_us() / 1e6 - datetime.now(UTC).timestamp())
    if ahead is not None and abs(ahead) > MAX_SKEW_SECONDS:
        text = f"the clock of the store is {ahead:+.0f} s from this machine; requests and approvals use it"
        yield Problem(Level.PROBLEM, "clock", text, CLOCK_FIX)


def engine(installation: Installation) -> Iterator[Problem]:
    """Yields where the engine runs, or why none works."""
    if installation.awaits_engine:
        yield Problem(Level.PROBLEM, "engine", "no engine of this version has run on this store", "headway engine")
    if installation.header is None:
        return
    state = installation.header.engine
    if state.alive and not state.trouble:
        yield Problem(Level.OK, "engine", f"runs on {lease_holder_text(state.holder)}")
    elif state.alive:
        fix = f"see the engine's log on {lease_holder_text(state.holder)}"
        yield Problem(Level.PROBLEM, "engine", state.trouble, fix)
    elif state.stuck:  # a second engine must not start
        yield Problem(Level.PROBLEM, "engine", f"no engine runs: {state.stuck}")
    else:
        age = (installation.now - state.heartbeat).total_seconds() if state.heartbeat else None
        since = "on this store" if age is None else f"for {format_duration(age)}; its data is that old"
        yield Problem(Level.PROBLEM, "engine", f"no engine has run {since}", "headway engine")


def config_in_use(installation: Installation) -> Iterator[Problem]:
    """Yields a note if the running engine uses another config."""
    header = installation.header
    digest = "" if installation.faults else installation.config.digest
    if header is not None and header.engine.alive and header.config != digest:
        text = f"the one on {lease_holder_text(header.engine.holder)}, still uses another config ({header.config[:12]})"
        yield Problem(Level.NOTE, "engine", text, "it loads a valid one within seconds; otherwise see its log")


def stopped_actions(installation: Installation) -> Iterator[Problem]:
    """Yields the freeze, and each part of the estate in shadow."""
    if installation.header is None:
        return
    if frozen := installation.header.frozen:
        yield Problem(Level.NOTE, "engine", f"no action is sent: {format_freeze(frozen)}", "headway freeze --off")
    for scope in installation.header.in_shadow:
        text = f"in shadow, no notification or action is sent: {scope}"
        yield Problem(Level.NOTE, "engine", text, "headway shadow off")
