"""The store as a command reads it: which one, opened read-only, and how old its data is when no engine runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from console.cli import clock_format
from console.cli.clock_format import timestamp
from console.cli.exits import CommandError, Exit
from console.cli.output import counted, print_message
from console.config.paths import NoStore, config_path, known_store, store_url
from console.timing.durations import format_duration

if TYPE_CHECKING:
    from console.config.sections import Config
    from console.domain.header import EngineView
    from console.store.queries import Queries

T = TypeVar("T")


def store_url_of(arguments: argparse.Namespace) -> str:
    """The store that the command line means. Raises CommandError."""
    try:
        if arguments.store:
            return known_store(str(arguments.store), "--store")
        return store_url(config_path(arguments.config))
    except NoStore as error:
        raise CommandError(Exit.USAGE, str(error)) from None


def load_valid_config(arguments: argparse.Namespace) -> Config:
    """The config that the command line means. Raises CommandError with its faults."""
    return valid_config(config_path(arguments.config), {})


def valid_config(path: Path, instead: Mapping[Path, str]) -> Config:
    """The config at this path, with these texts instead of those of its files. Raises CommandError with its faults."""
    from console.config.document import ConfigFaults
    from console.config.loading import load_config

    try:
        return load_config(path, instead)
    except ConfigFaults as faults:
        raise CommandError(Exit.USAGE, f"{counted(faults.faults, 'problem')} in the config\n{faults}") from None


@contextmanager
def store_reader(arguments: argparse.Namespace) -> Iterator[Queries]:
    """The store's queries. Raises CommandError for a missing store or name."""
    from console.store.errors import NotFound, StoreError
    from console.store.queries import open_queries

    try:
        with open_queries(store_url_of(arguments)) as reads:
            clock_format.share_service_zone(reads.service_zones())
            yield reads
    except NotFound as error:
        raise CommandError(Exit.NOT_FOUND, str(error)) from None
    except StoreError as error:
        raise CommandError(Exit.USAGE, str(error)) from None


def stored(arguments: argparse.Namespace, query: Callable[[Queries], T]) -> T | None:
    """The answer of the store; None without a readable one."""
    try:
        with store_reader(arguments) as reads:
            return query(reads)
    except CommandError:
        return None


@contextmanager
def fresh_store_reader(arguments: argparse.Namespace) -> Iterator[Queries]:
    """As `store_reader`; without a running engine, stderr says how old the data is."""
    with store_reader(arguments) as reads:
        engine = reads.estate.header().engine
        if not engine.alive:
            print_message(f"headway: {staleness_text(engine, datetime.now(UTC))}")
        yield reads


def no_engine_text(engine: EngineView, note: str = ". Fix: headway engine") -> str:
    """Since when no engine runs, and `note`; or why starting one would not help."""
    since = f" has run since {timestamp(engine.heartbeat)}" if engine.heartbeat else ""
    if engine.stuck:
        return f"no engine{since or ' runs'}: {engine.stuck}"
    return f"no engine{since or ' has run on this store'}{note}"


def staleness_text(engine: EngineView, now: datetime) -> str:
    """That no engine runs, and how old the data is; `now` is real time."""
    if engine.heartbeat is None:
        return no_engine_text(engine)
    age = format_duration((now - engine.heartbeat).total_seconds())
    return f"{no_engine_text(engine, '')}; this data is {age} old"
