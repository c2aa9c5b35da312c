"""Where a console was when its line was lost: a small file in the user's state folder for each console that runs.

Whoever leaves by a key takes his file away. One whose terminal or process is gone leaves it behind; the next start on
the same store finds it, because the lock on it went with its process. Screens, filters and rows stand in it, no secret.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zlib import crc32

from console.model.frozen import dataclass
from console.paths import state_folder

KEPT = timedelta(hours=12)
"""After a shift nobody looks for his place any more."""
TOGETHER = timedelta(minutes=3)
"""Two consoles that one line took with it were written down last within this: each is once a minute."""
LOOKS, LOOK_SECONDS = 25, 0.02


@dataclass(frozen=True, slots=True)
class Left:
    """A place as `HeadwayApp.visit` takes it, the row under the cursor, whose clock was shown; and when."""

    kind: str
    what: Any
    row: Any = None
    zone: str = ""
    at: datetime = datetime(1970, 1, 1, tzinfo=UTC)

    def text(self) -> str:
        return json.dumps(
            {"kind": self.kind, "what": self.what, "row": self.row, "zone": self.zone, "at": self.at.isoformat()}
        )


class Places:
    """The files of the consoles on one store; this one's is locked as long as it runs."""

    def __init__(self, store: str, folder: Path | None = None) -> None:
        self._folder = folder or state_folder() / "places"
        self._name = _name_of(_without_login(store))
        self._own: int | None = None

    def take(self, now: datetime) -> Left | None:
        """Where the console was whose line was lost last, not long ago; what is taken is gone. What was lost with it
        waits for the next start, what is older is gone. None where there is none, and where the folder cannot be read:
        no start fails because of it."""
        try:
            with _alone(self._folder):
                return self._last(now)
        except OSError:
            return None

    def _last(self, now: datetime) -> Left | None:
        with ExitStack() as open_files:
            found = [
                lost for path in self._folder.glob(f"{self._name}-*.json") if (lost := _lost(path, open_files, now))
            ]
            last, newest = max(((left.at, path) for path, left in found if left), default=(now, None))
            for path, left in found:
                if left is None or path == newest or last - left.at > TOGETHER:
                    path.unlink(missing_ok=True)
        return next((left for path, left in found if path == newest), None)

    def write(self, left: Left) -> None:
        """In place, in one write: what is torn is not read again. Where it cannot be written nothing is remembered."""
        try:
            if self._own is None:
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._own = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
                fcntl.flock(self._own, fcntl.LOCK_EX | fcntl.LOCK_NB)
            data = left.text().encode()
            os.pwrite(self._own, data, 0)
            os.ftruncate(self._own, len(data))
        except OSError:
            return

    def forget(self) -> None:
        """Whoever leaves by himself begins at home the next time."""
        if self._own is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._own)
            self._own = None

    @property
    def _path(self) -> Path:
        return self._folder / f"{self._name}-{os.getpid()}.json"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other start looks into the folder meanwhile: two at once find one place each. One that is stopped there is
    not waited for."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for _ in range(LOOKS):
            with suppress(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(LOOK_SECONDS)
        yield
    finally:
        os.close(handle)


def _lost(path: Path, open_files: ExitStack, now: datetime) -> tuple[Path, Left | None] | None:
    """What a console that is gone has left in its file, locked until `open_files` are closed; without a place where
    nobody can read it, or it is long ago. None for one that still runs, or was taken meanwhile."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    open_files.callback(os.close, handle)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_nlink == 0:
            return None
    except OSError:
        return None
    try:
        left = _read(os.read(handle, 65_536).decode())
    except (OSError, ValueError, KeyError, TypeError):
        return path, None
    return path, left if timedelta(0) <= now - left.at < KEPT else None


def _read(text: str) -> Left:
    found = json.loads(text)
    at = datetime.fromisoformat(found["at"])
    if at.tzinfo is None:
        raise ValueError(f"{found['at']} has no zone")
    return Left(str(found["kind"]), _hard(found["what"]), _hard(found.get("row")), str(found.get("zone", "")), at)


def _hard(value: Any) -> Any:
    """Keys of rows and what `visit` takes are tuples, of which JSON makes lists."""
    return tuple(map(_hard, value)) if isinstance(value, list) else value


def _name_of(store: str) -> str:
    """A file's name that tells stores apart: how it ends, and a sum of the whole. No hash: OpenSSL costs 4 ms."""
    end = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in store[-80:])
    return f"{end}-{crc32(store.encode('utf-8', 'surrogateescape')):08x}"


def _without_login(store: str) -> str:
    """A shared store is known by its host and name; who signs in, and with what, is left out."""
    if "://" not in store:
        return store
    parts = urlsplit(store)
    return f"{parts.hostname}:{parts.port}{parts.path}"
