"""An installation as its checks see it: config, store, engine, secrets and answers of its targets, each read once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from connectors.sdk.secrets import SecretStore
from console.config.document import ConfigFaults
from console.config.loading import load_config
from console.config.paths import NoStore, known_store, store_of, store_url
from console.store.errors import StoreError, StoreMissing, StoreOutdated
from console.store.queries import open_queries

if TYPE_CHECKING:
    from console.config.document import ConfigFault
    from console.config.sections import Config
    from console.diagnosis.probes import ProbeResult
    from console.domain.header import HeaderView
    from console.store.queries import Queries

T = TypeVar("T")


class Level(StrEnum):
    """How much a result of a check matters: a note needs no repair now."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "PROBLEM"


@dataclass(frozen=True, slots=True)
class Problem:
    """The result of a check of one subject. A text of another layer may contain its own fix."""

    level: Level
    subject: str
    """The name of a target or setting, or "engine", "store", "clock"."""
    text: str
    fix: str = ""

    @property
    def is_fault(self) -> bool:
        return self.level is Level.PROBLEM

    @property
    def line(self) -> str:
        """Subject, text and fix in one line."""
        line = f"{self.subject}: {self.text}"
        return f"{line.rstrip('.')}. Fix: {self.fix}" if self.fix else line


@dataclass(frozen=True)
class Installation:
    """The config at `path` and the store that it names, or `named_store`. Everything is read at its first use."""

    path: Path
    now: datetime
    named_store: str = ""
    timeout: float = 20.0
    """Seconds that the probe of a target may take."""
    is_probing: bool = True

    @cached_property
    def config(self) -> Config:
        """The valid config. Raises ConfigFaults."""
        return load_config(self.path)

    @cached_property
    def faults(self) -> tuple[ConfigFault, ...]:
        """The faults of an invalid config; empty if it is valid."""
        try:
            self.config  # noqa: B018 - read for its faults
        except ConfigFaults as faults:
            return tuple(faults.faults)
        return ()

    @cached_property
    def secrets(self) -> SecretStore:
        """The secrets that the probes resolve."""
        return SecretStore()

    @property
    def store_url(self) -> str:
        """The URL or path of the store; empty if the config names none that can be used."""
        return "" if isinstance(self._store, NoStore) else self._store

    @cached_property
    def _store(self) -> str | NoStore:
        """The URL or path of the store, or the reason that there is none: a command that fails runs once too. The files
        of a valid config, which may name thousands of systems, are not parsed again."""
        try:
            if self.named_store:
                return known_store(self.named_store, "--store")
            if self.faults:
                return store_url(self.path)
            return store_of(self.config.estate.model_dump(exclude_unset=True), self.path)
        except NoStore as reason:
            return reason

    def _open_store(self) -> AbstractContextManager[Queries]:
        """Opens the store for queries. Raises NoStore and StoreError."""
        if isinstance(self._store, NoStore):
            raise self._store
        return open_queries(self._store)

    @cached_property
    def store_error(self) -> StoreError | NoStore | None:
        """Why the store cannot be read; None if it can."""
        try:
            with self._open_store() as reads:
                reads.estate.engine()
        except (NoStore, StoreError) as error:
            return error
        return None

    @property
    def awaits_engine(self) -> bool:
        """True if the next start of an engine creates or migrates the store."""
        return isinstance(self.store_error, StoreMissing | StoreOutdated)

    def read_store(self, query: Callable[[Queries], T]) -> T | None:
        """The answer of the store; None without a readable one."""
        try:
            with self._open_store() as reads:
                return query(reads)
        except (NoStore, StoreError):
            return None

    @cached_property
    def header(self) -> HeaderView | None:
        """The state of the engine as the store has it; None without a readable store."""
        return self.read_store(lambda reads: reads.estate.header())

    @property
    def engine_runs(self) -> bool:
        """True if an engine works on the store."""
        return self.header is not None and self.header.engine.alive

    @cached_property
    def probes(self) -> tuple[ProbeResult, ...]:
        """The results of all probes: systems first, then everything else that the config lets the engine use."""
        if not self.is_probing or self.faults:
            return ()
        from console.diagnosis import probes, routes  # noqa: PLC0415 - loads every sender, for 0.3 s

        accepted = self.read_store(lambda reads: reads.alerts.accepted()) or set()
        return (
            *probes.probe_systems(self.config, self.secrets, self.timeout, self.engine_runs),
            *routes.probe_routes(self.config, self.secrets, accepted),
            *routes.probe_rotas(self.config, self.secrets),
            *probes.probe_checks(self.config, self.secrets, self.timeout),
            *routes.probe_slack(self.config, self.secrets),
            *probes.probe_endpoints(self.config, self.secrets),
            *probes.probe_status_page(self.config),
        )
