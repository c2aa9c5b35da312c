"""What a connector signs in with over SSH, in tests that reach no host or one of folders."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.fakes.ssh_stub import new_key


@contextmanager
def login_folder(kind: str) -> Iterator[Path]:
    """A folder with a key of its own that knows no host; removed at the end."""
    with tempfile.TemporaryDirectory(prefix=f"headway-{kind}-") as name:
        folder = Path(name)
        new_key(folder / "key")
        (folder / "known_hosts").touch()
        yield folder


def keys_in(folder: Path) -> dict[str, str]:
    """The options of a kind that goes over SSH, for what `login_folder` made."""
    return {"key": str(folder / "key"), "known_hosts": str(folder / "known_hosts")}


def no_secret(reference: Any) -> str:
    """Where no secret is needed."""
    return ""
