"""The config in use follows its file: what is changed there is taken up, and what cannot be taken up is told.

A withdrawn permission must not go on working because nobody thought of a restart. What is looked at is the state of the
files, never a secret behind a reference: those are read anew whenever they are used.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog

from console.clean import clean_line
from console.config import Config, ConfigFaults, Fault, config_files, line_of, load_config
from console.engine.health import Pulse

log = structlog.get_logger("headway.engine")

LOOK_SECONDS = 1.0
"""Between two looks. A file counts as written when two of them in a row found it the same."""
FAULTS_TOLD = 3
"""More of them stand in what `headway check` says."""

State = tuple[tuple[str, tuple[int, ...]], ...]
"""Each file with inode, size, and when its content and it itself changed; nothing of one that is not there."""


class ConfigFile:
    """A file or folder of config, and the newest valid one that was found there."""

    def __init__(self, path: Path, own_store: bool, mask: Callable[[str], str] = str) -> None:
        """`own_store`: the engine works on the store that this config names. Raises ConfigFaults."""
        self._path = path
        self._own_store = own_store
        self._mask = mask
        self._judged = self._looked = state_of(path)  # before it is read: what changes meanwhile is seen
        self._asked = False
        self.config = load_config(path)
        self.trouble = ""
        """Why what stands in the file now is not in use, in words; empty when it is."""
        self._pulse = Pulse()

    def ask(self) -> None:
        """Has the files read again at the next look though they seem the same; safe from a signal handler."""
        self._asked = True

    def follow(self, ended: threading.Event) -> None:
        """Looks until `ended`; nothing that it finds ends the watch."""
        while not ended.wait(LOOK_SECONDS):
            self._pulse.beat(LOOK_SECONDS)
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - a surprise here must not end the watch
                self._refuse(f"{self._path} cannot be judged: {type(error).__name__}: {error}")

    def words(self) -> str:
        """What a person should know: `trouble`, or that nobody can tell how the files are. Empty when all is well."""
        if self._pulse.late_seconds > 0:
            return f"the files of the config do not answer: a change in {self._path} is not taken up"
        return self.trouble

    def look(self) -> None:
        """Reads the files where they changed, and stayed as they are since the look before."""
        state, before = state_of(self._path), self._looked
        self._looked = state
        if state != before or (state == self._judged and not self._asked):
            return
        self._asked = False
        try:
            config = load_config(self._path)
            faults = self._another_store(config)
        except ConfigFaults as error:
            config, faults = self.config, error.faults
        if state_of(self._path) != state:
            return  # written while it was read: judged when it stays the same
        self._judged = state
        if faults:
            more = f"; and {len(faults) - FAULTS_TOLD} more: headway check" if len(faults) > FAULTS_TOLD else ""
            self._refuse("; ".join(map(str, faults[:FAULTS_TOLD])) + more)
        else:
            self._accept(config)

    def _another_store(self, config: Config) -> list[Fault]:
        """A store is not changed under those who work on it."""
        if not self._own_store or config.estate.store == self.config.estate.store:
            return []
        key = ("estate", "store")
        found = [(file, line_of(file.read_text("utf-8-sig"), key)) for file in config_files(self._path)]
        file, line = next(((file, line) for file, line in found if line), (self._path, None))
        was = f'"{self.config.estate.store}"' if isinstance(self.config.estate.store, str) else "another reference"
        words = f'was {was} when this engine began. Put it back, or restart the engine: "headway engine stop" first.'
        return [Fault(file, line, ".".join(key), words)]

    def _accept(self, config: Config) -> None:
        if self.trouble:
            log.info("the config can be used again")
        self.trouble = ""
        if config.digest != self.config.digest:
            log.info("the config has changed", was=self.config.digest[:12], now=config.digest[:12])
            self.config = config

    def _refuse(self, words: str) -> None:
        told = clean_line(self._mask(f"the config as it is now cannot be used, the one before goes on: {words}"))
        if told != self.trouble.partition(" (since ")[0]:
            log.warning("the config cannot be used", error=told)
            self.trouble = f"{told} (since {datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z)"


def state_of(path: Path) -> State:
    """How the files are, by what tells a change without reading them; the folder's own list too."""
    return tuple((str(file), _stat(file)) for file in config_files(path))


def _stat(file: Path) -> tuple[int, ...]:
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
