"""`headway engine`: watches, evaluates, alerts, sends. It needs no screen; run it as a service."""

from __future__ import annotations

import argparse
import os
import signal
import time
from pathlib import Path

from console.cli.common import Stop, place_of, reading, say, store_of, whole_number, without_array_threads
from console.cli.exits import Exit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="?", choices=["run", "stop"], default="run", help="stop: end the one that works")
    parser.add_argument(
        "--with-parent", type=whole_number, nargs="?", const=0, metavar="PID",
        help="end when the process that started it ends; PID is its own, for one that may end while this one starts",
    )  # fmt: skip
    parser.add_argument("--only-if-free", action="store_true", help="end at once where another engine works already")
    parser.add_argument("--log-file", metavar="PATH", type=Path, help="structured logs go there instead of stderr")
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])


def run(arguments: argparse.Namespace) -> int:
    return stop(arguments) if arguments.what == "stop" else work(arguments)


def work(arguments: argparse.Namespace) -> int:
    """Works until SIGTERM or Ctrl-C; stands by while another engine holds the store."""
    without_array_threads()
    from connectors.secrets import SecretStore
    from console.config import ConfigFaults
    from console.engine.config_file import ConfigFile
    from console.engine.logs import set_up_logs
    from console.engine.runner import Engine, end_with_parent, leave, stop_on_signals
    from console.engine.wiring import Parts
    from console.paths import config_path
    from console.store.errors import StoreError
    from console.store.open import open_store

    os.umask(0o077)
    if arguments.with_parent is not None:
        end_with_parent(arguments.with_parent)
    secrets = SecretStore()
    set_up_logs(secrets, arguments.log_file, arguments.log_level)
    try:
        configs = ConfigFile(config_path(arguments.config), not arguments.store, secrets.mask)
        store = open_store(store_of(arguments))
    except ConfigFaults as faults:
        raise Stop(Exit.USAGE, f"the config has {len(faults.faults)} fault(s); nothing was started\n{faults}") from None
    except StoreError as error:
        raise Stop(Exit.USAGE, str(error)) from None

    def parts() -> Parts:
        return Parts(configs.config, store, secrets)

    engine = Engine(parts, parts(), stands_by=not arguments.only_if_free, configs=configs)
    stop_on_signals(engine, configs)
    engine.run()
    store.close()
    leave(Exit.OK)


def stop(arguments: argparse.Namespace) -> int:
    """Ends the engine that holds this store's lease, when it runs on this host."""
    from console.store.reads.holders import is_alive, is_dead_here, living_holder, pid_here

    with reading(arguments) as reads:
        view = reads.header().engine
    if is_dead_here(view.holder):
        say(f"the engine on {place_of(view.holder)}, is already dead; nothing is left to stop")
        return Exit.NO_ENGINE
    if not view.alive and living_holder(view.holder, view.since) is None:
        say("no engine works on this store")
        return Exit.NO_ENGINE
    pid = pid_here(view.holder)
    if pid is None:
        host = view.holder.rpartition(":")[0]
        raise Stop(Exit.REFUSED, f"the engine runs on {host}, not here; stop it there: headway engine stop")
    try:
        os.kill(pid, signal.SIGTERM)
    except PermissionError:
        raise Stop(Exit.REFUSED, f"the engine, process {pid}, is another user's; let them stop it") from None
    except ProcessLookupError:
        pass  # it has ended just now
    for _ in range(100):
        if not is_alive(pid):
            say(f"the engine on {place_of(view.holder)}, has ended")
            return Exit.OK
        time.sleep(0.1)
    raise Stop(Exit.PROBLEM, f"the engine on {place_of(view.holder)}, was told to end and still runs after 10 s")
