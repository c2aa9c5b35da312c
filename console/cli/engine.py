"""Run and stop the engine that watches, evaluates, notifies and sends."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from console.cli.arguments import whole_number
from console.cli.clock_format import timestamp
from console.cli.commands import Handler, flag, option
from console.cli.engine_process import limit_array_threads
from console.cli.exits import CommandError, Exit
from console.cli.output import counted, print_message
from console.cli.reader import no_engine_text, store_reader, store_url_of
from console.domain.header import lease_holder_text, split_holder

if TYPE_CHECKING:
    from console.domain.header import EngineShare, EngineView
    from console.store.db.lease import LeaseHolder


def run_engine(arguments: argparse.Namespace) -> int:
    """Works until SIGTERM or Ctrl-C. While another engine has the lease, waits; on a shared store, polls its share."""
    limit_array_threads()
    import structlog

    from connectors.sdk.secrets import SecretStore
    from console.config.document import ConfigFaults
    from console.config.paths import config_path
    from console.engine.supervisor.assembly import EngineAssembly
    from console.engine.supervisor.config_reload import ConfigWatcher
    from console.engine.supervisor.engine import (
        Engine,
        exit_process,
        exit_with_parent,
        open_store,
        stop_on_signals,
    )
    from console.engine.supervisor.log_setup import set_up_logs
    from console.store.errors import StoreError

    os.umask(0o077)
    if arguments.with_parent is not None:
        exit_with_parent(arguments.with_parent)
    secrets = SecretStore()
    set_up_logs(secrets, arguments.log_file, arguments.log_level)
    try:
        configs = ConfigWatcher(config_path(arguments.config), not arguments.store, secrets.mask)
        store = open_store(store_url_of(arguments), secrets.mask)
    except (ConfigFaults, StoreError, CommandError) as error:
        reason = str(error)
        if isinstance(error, ConfigFaults):
            reason = f"the config has {counted(error.faults, 'problem')}; the engine was not started\n{error}"
        if arguments.log_file is not None:
            structlog.get_logger("headway.engine").error("the engine was not started", error=reason)
        raise CommandError(Exit.USAGE, reason) from None

    def parts() -> EngineAssembly:
        return EngineAssembly(configs.config, store, secrets)

    def show_standby(held: LeaseHolder) -> None:
        if sys.stderr.isatty():  # elsewhere the log is the only reader
            since = f"since {timestamp(held.since)}"
            on = lease_holder_text(held.holder)
            print_message(f"waiting: the engine on {on}, works {since}; {engine.standby_text}")

    engine = Engine(parts, parts(), standby=not arguments.only_if_free, configs=configs, on_standby=show_standby)
    stop_on_signals(engine, configs)
    engine.run()
    store.close()
    exit_process(Exit.OK)


def stop_engine(arguments: argparse.Namespace) -> int:
    """Ends every engine of this store that runs on this host, also one that still works on a removed or replaced file
    of it, and prints which go on elsewhere."""
    from console.store.db.lease import is_provably_dead, local_pid, noted_engine
    from console.store.db.location import POSTGRES_URLS, store_path

    url = store_url_of(arguments)
    noted = None if url.startswith(POSTGRES_URLS) else noted_engine(store_path(url))
    try:
        with store_reader(arguments) as reads:
            view, shares = reads.estate.header().engine, reads.estate.engines()
    except CommandError:
        if noted is None:
            raise
        return _stop_processes(dict([noted]))
    engines: list[EngineShare | EngineView] = [view, *shares]
    if url.startswith(POSTGRES_URLS):
        processes = {engine.holder: pid for engine in engines if (pid := _process_here(engine)) is not None}
    else:  # the lease in the copy of a file is of the engine of the other one
        processes = {} if noted is None else dict([noted])
    far_holders = dict.fromkeys(
        engine.holder for engine in engines if engine.alive and local_pid(engine.holder) is None
    )
    if processes:
        code = _stop_processes(processes)
        for holder in far_holders:
            command = "to stop it too, run headway engine stop there"
            print_message(f"the engine on {lease_holder_text(holder)}, goes on; {command}")
        return code
    if far_holders:
        hosts = " and ".join(dict.fromkeys(split_holder(holder)[0] for holder in far_holders))
        raise CommandError(Exit.REFUSED, f"the engine runs on {hosts}, not here; run headway engine stop there")
    dead = f"the engine on {lease_holder_text(view.holder)}, is not running any more"
    print_message(dead if is_provably_dead(view.holder) else no_engine_text(view, ""))
    return Exit.NO_ENGINE


def _process_here(engine: EngineShare | EngineView) -> int | None:
    """The process of an engine that runs on this machine."""
    from console.store.db.lease import living_holder, local_pid

    return local_pid(engine.holder) if engine.alive else living_holder(None, engine.holder, engine.since)


def _stop_processes(processes: Mapping[str, int]) -> int:
    """Ends all of them at once, by the holder's name, and prints each that has ended."""
    from console.store.db.lease import is_alive

    refused = [pid for pid in processes.values() if not _signal_to_stop(pid)]
    running = {holder: pid for holder, pid in processes.items() if pid not in refused}
    for _ in range(100):
        for holder in [holder for holder, pid in running.items() if not is_alive(pid)]:
            del running[holder]
            print_message(f"the engine on {lease_holder_text(holder)}, stopped")
        if not running:
            break
        time.sleep(0.1)
    problems = [
        *(f"the engine, process {pid}, belongs to another user, who has to stop it" for pid in refused),
        *(f"the engine on {lease_holder_text(holder)}, still runs 10 s after the signal to stop" for holder in running),
    ]
    if problems:
        raise CommandError(Exit.REFUSED if refused else Exit.PROBLEM, "; ".join(problems))
    return Exit.OK


def _signal_to_stop(pid: int) -> bool:
    """False if the process belongs to another user."""
    try:
        os.kill(pid, signal.SIGTERM)
    except PermissionError:
        return False
    except ProcessLookupError:
        pass  # it has ended just now
    return True


HANDLERS = {
    "engine": Handler(
        run_engine,
        option(
            "--with-parent",
            "exit when the parent process PID exits (default: the process that started this one)",
            "PID",
            type=whole_number,
            nargs="?",
            const=0,
        ),
        flag("--only-if-free", "exit at once if another engine is running"),
        option("--log-file", "write structured logs to this file instead of stderr", "PATH", type=Path),
        option("--log-level", default="info", choices=["debug", "info", "warning", "error"]),
    ),
    "engine stop": Handler(stop_engine),
}
