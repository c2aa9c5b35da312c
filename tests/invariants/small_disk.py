"""A disk of 4 MiB that fills up, or that may only be read: `unshare --mount python -m tests.invariants.small_disk WHAT
FOLDER` mounts it in its own namespace, plays the fault and prints what it saw as one JSON object.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

from connectors.sdk.secrets import SecretStore
from console.cli.main import main
from console.cli.reader import no_engine_text
from console.domain.header import EngineView
from console.engine.supervisor.log_setup import set_up_logs
from console.store.db.database import open_database
from console.store.errors import StoreUnusable
from tests.invariants.engines import engine_of, in_thread
from tests.invariants.worlds import Sink, World, config_of
from tests.lab.needs import command
from tests.lab.process import wait_until

SIZE = "4m"
CONFIG = '[estate]\nstore = "headway.db"\n[systems.night]\nkind = "cron"\nhosts = ["db07"]\nkey = "id"\n'


def mounted(folder: Path) -> Path:
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run([command("mount"), "-t", "tmpfs", "-o", f"size={SIZE}", "headway", str(disk)], check=True)
    return disk


def fill(disk: Path) -> Path:
    """Takes all space that is left."""
    filler = disk / "filler"
    with suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)
    return filler


def full(folder: Path) -> dict[str, object]:
    disk = mounted(folder)
    filler = fill(disk)
    seen: dict[str, object] = {"made on a full disk": why(lambda: open_database(str(disk / "late.db")))}
    filler.unlink()
    for path in disk.glob("late.db*"):
        path.unlink()
    store, sink, good = open_database(str(disk / "headway.db")), Sink(folder), World(folder, "good")
    secrets = SecretStore()
    set_up_logs(secrets, disk / "engine.log")
    by_a_console = engine_of(config_of(folder, good), store, sink, secrets, lease=3, is_standby=False)
    with in_thread(by_a_console) as thread:
        wait_until(lambda: len(good.polled) > 3, "its polls")
        filler = fill(disk)
        good.fail("extract")
        begun = time.monotonic()
        wait_until(lambda: time.monotonic() > begun + 6, "two leases to pass")
        seen["reads"], text = quietly("--store", str(disk / "headway.db"), "status")
        text = " ".join(text.split())
        message = "lives and cannot write (the disk of the store is full)"
        seen["told"] = (message in text and "Fix: headway engine" not in text) or text
        seen |= {"alive": thread.is_alive(), "alerts while full": len(sink.got)}
        filler.unlink()
        wait_until(lambda: bool(sink.got), "the alert")
    with store.read() as connection:
        seen["integrity"] = connection.rows("PRAGMA integrity_check")[0][0]
    store.close()
    return seen | {"alerts": len(sink.got), "logged": "alert sent" in (disk / "engine.log").read_text()}


def read_only(folder: Path) -> dict[str, object]:
    disk = mounted(folder)
    config = disk / "headway.toml"
    config.write_text(CONFIG)
    config.with_name("id").touch()
    open_database(str(disk / "headway.db")).close()
    subprocess.run([command("mount"), "-o", "remount,ro", str(disk)], check=True)
    code, message = quietly("--config", str(config), "engine")
    status, text = quietly("--config", str(config), "status")
    return {
        "engine": code,
        "text": "Read-only file system" if "Read-only file system" in message else message,
        "traceback": "Traceback" in message,
        "status": status,
        "told": no_engine_text(EngineView("", None, None, alive=False)) in text or text,
    }


def quietly(*arguments: str) -> tuple[int, str]:
    stream = io.StringIO()
    with redirect_stdout(stream), redirect_stderr(stream):
        code = main(arguments)
    return code, stream.getvalue()


def why(work: Callable[[], object]) -> str:
    try:
        work()
    except StoreUnusable as error:
        return str(error).rpartition(": ")[2]
    return "nothing was refused"


if __name__ == "__main__":
    print(json.dumps({"full": full, "read-only": read_only}[sys.argv[1]](Path(sys.argv[2]))))
