"""Config reload: the engine follows its config files, and reports what it cannot adopt.

A withdrawn permission takes effect without a restart. Only the state of the files is watched, never a secret behind a
reference: those are read again whenever a connector is opened.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import structlog

from connectors.sdk.file_trust import write_access_fault
from console.config.document import ConfigFault, ConfigFaults, line_of
from console.config.loading import load_config
from console.config.paths import config_files, read_config
from console.config.sections import Config
from console.engine.worker import Pulse
from console.text.redact import sanitize

log = structlog.get_logger("headway.engine")

WATCH_SECONDS = 1.0
"""Check interval. A file counts as written when two checks in a row found it the same."""
FAULTS_REPORTED = 3
"""At most so many faults are named; `headway check` lists all."""

FileStates = tuple[tuple[str, tuple[int, ...]], ...]
"""Per file: inode, size, modification and change times; empty for a missing file."""


class ConfigWatcher:
    """Watches a config file or folder and keeps the newest valid config."""

    def __init__(self, path: Path, own_store: bool, mask: Callable[[str], str] = str) -> None:
        """`own_store`: the engine works on the store that this config names. Raises ConfigFaults."""
        self._path = path
        self._own_store = own_store
        self._mask = mask
        self._judged = self._looked = file_states(path)  # before reading, so that a change meanwhile is noticed
        self._asked = False
        self.config = load_config(path)
        self._profiles = self.config.profiles
        self._refusal, self._refused_at = "", datetime.now(UTC)
        self._pulse = Pulse()

    @property
    def trouble(self) -> str:
        """Why the present files are not in use, and since when; empty if they are."""
        return self._refusal and f"{self._refusal} (since {self._refused_at:%Y-%m-%d %H:%M:%S}Z)"

    def ask(self) -> None:
        """Reads the files again at the next check even if unchanged; safe in a signal handler."""
        self._asked = True

    def follow(self, ended: threading.Event) -> None:
        """Checks until `ended`; no error stops it."""
        while not ended.wait(WATCH_SECONDS):
            self._pulse.beat(WATCH_SECONDS)
            try:
                self.reload_if_changed()
            except Exception as error:  # noqa: BLE001 - a surprise here must not end the watch
                self._refuse(f"{self._path} cannot be checked: {type(error).__name__}: {error}")

    def trouble_text(self) -> str:
        """Problems for a person: `trouble`, or that the files cannot be checked. Empty if all is well."""
        if self._pulse.late_seconds > 0:
            return f"the config files cannot be read: a change in {self._path} is not applied"
        return self.trouble

    def reload_if_changed(self) -> None:
        """Reads the files if they changed and have been stable since the last check."""
        state, before = file_states(self._path, self._profiles), self._looked
        self._looked = state
        if state != before or (state == self._judged and not self._asked):
            return
        self._asked = False
        try:
            config = load_config(self._path)
            faults, profiles = self._another_store(config), config.profiles
        except ConfigFaults as error:
            config, faults, profiles = self.config, error.faults, error.profiles
        if file_states(self._path, self._profiles) != state:
            return  # changed while it was read: judged once it is stable
        self._judged, self._profiles = state, profiles
        if faults:
            suffix = (
                f"; and {len(faults) - FAULTS_REPORTED} more: headway check" if len(faults) > FAULTS_REPORTED else ""
            )
            self._refuse("; ".join(map(str, faults[:FAULTS_REPORTED])) + suffix)
        else:
            self._accept(config)

    def _another_store(self, config: Config) -> list[ConfigFault]:
        """Faults for a change of the store, which a running engine does not follow."""
        if not self._own_store or config.estate.store == self.config.estate.store:
            return []
        key = ("estate", "store")
        places = [(file, line_of(read_config(file), key)) for file in config_files(self._path)]
        file, line = next(((file, line) for file, line in places if line), (self._path, None))
        was = f'"{self.config.estate.store}"' if isinstance(self.config.estate.store, str) else "another reference"
        text = (
            f'was {was} when this engine started. Fix: restore it, or restart the engine ("headway engine stop" first).'
        )
        return [ConfigFault(file, line, ".".join(key), text)]

    def _accept(self, config: Config) -> None:
        if self._refusal:
            log.info("the config can be used again")
        self._refusal = ""
        if config.digest != self.config.digest:
            log.info("the config has changed", was=self.config.digest[:12], now=config.digest[:12])
            self.config = config

    def _refuse(self, text: str) -> None:
        refusal = sanitize(
            f"the changed config is invalid, the previous one stays in use: {text}", self._mask, on_one_line=True
        )
        if refusal != self._refusal:
            log.warning("the config cannot be used", error=refusal)
            self._refusal, self._refused_at = refusal, datetime.now(UTC)


def file_states(path: Path, profiles: Iterable[Path] = ()) -> FileStates:
    """The state of the files as far as it shows a change without reading them: the folder's list, and that only we may
    write them. `profiles`: files that the config names."""
    return (write_access_fault(path), ()), *((str(file), _stat(file)) for file in (*config_files(path), *profiles))


def _stat(file: Path) -> tuple[int, ...]:
    try:
        status = file.stat()
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
