"""`headway holds`: what is held, by whom, until when; `--from-native` asks the schedulers, without a store."""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from console.cli.common import (
    Stop,
    cell_clock,
    confirmed,
    day_words,
    print_json,
    say,
    say_lines,
    stamp,
    store_of,
    wait_seconds,
    watched,
)
from console.cli.exits import Exit
from console.cli.table import Col, print_table
from console.store.errors import StoreError, StoreTooNew

if TYPE_CHECKING:
    from connectors.contract import Connector, NativeHold
    from connectors.secrets import SecretStore
    from console.config import Config, SystemConfig
    from console.engine.emergency import Emergency, Native

COLUMNS = (
    Col("job", 18, middle=True), Col("state"), Col("kind", drop=2), Col("keeps back", drop=3), Col("until"),
    Col("by", drop=4), Col("hold", drop=1), Col("seen held", drop=2),
    Col("why", 12),
)  # fmt: skip
NATIVE = (
    Col("target", 12), Col("job", 16, middle=True), Col("state"), Col("until"), Col("by", drop=2), Col("hold", drop=1),
    Col("where", 12, drop=3),
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="those that are over too")
    parser.add_argument("--from-native", action="store_true", help="ask the schedulers; needs the config, and no store")
    parser.add_argument("--release", action="store_true", help="with --from-native: let each of them go")
    parser.add_argument("--why", default="", metavar="TEXT", help="with --release: for the store's audit")
    parser.add_argument("--anyway", action="store_true", help="with --release: though frozen or not approved")
    parser.add_argument("--yes", action="store_true", help="let go without asking")
    parser.add_argument("--timeout", type=wait_seconds, default=20.0, metavar="SECONDS", help="for each target (20)")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    if arguments.release and not arguments.from_native:
        raise Stop(Exit.USAGE, "--release goes with --from-native; one hold is let go by: headway release JOB")
    stray = [f"--{name}" for name in ("why", "anyway", "yes") if getattr(arguments, name) and not arguments.release]
    if stray:
        raise Stop(Exit.USAGE, f"{stray[0]} goes with --from-native --release; nothing was let go")
    return _from_native(arguments) if arguments.from_native else _from_store(arguments)


def _from_store(arguments: argparse.Namespace) -> int:
    with watched(arguments) as reads:
        found = reads.holds() + (reads.holds(ended=True) if arguments.all else [])
        now, modes = reads.now(), reads.modes()
    if arguments.json:
        print_json(arguments, found)
        return Exit.OK
    print_table(
        COLUMNS,
        [
            (one.job, one.state, one.kind, cell_clock(one.due, "", now), day_words(one.until, now), one.held_by,
             one.key, cell_clock(one.seen, "", now), one.told)
            for one in found
        ],
    )  # fmt: skip
    if modes.frozen is not None and found:
        say("frozen: what is held stays held until somebody thaws: headway freeze --off")
    return Exit.OK


@dataclass(frozen=True, slots=True)
class Marked:
    """One job that bears our mark at its source; or why a target cannot be asked (then `job` is empty)."""

    target: str
    job: str
    hold: str
    by: str
    until: datetime | None
    where: str
    bare: bool = False
    """The job is enabled all the same: its mark alone is to go, and a pause that comes meanwhile is a person's."""
    error: str = ""

    @property
    def state(self) -> str:
        return "mark left" if self.bare else "held"

    def state_after(self, done: bool) -> str:
        if not done:
            return f"still {self.state}"
        return "mark taken away" if self.bare else "let go"


def _from_native(arguments: argparse.Namespace) -> int:
    from connectors.contract import Capability
    from connectors.secrets import SecretStore

    config, secrets = _config(arguments), SecretStore()
    places = [
        (system, target)
        for system in config.systems.values()
        if Capability.HOLD in system.capabilities
        for target in system.targets
    ]
    with ThreadPoolExecutor(min(16, len(places) or 1)) as pool:
        each = list(pool.map(lambda place: _marks(place, secrets, arguments.timeout), places))
    found = [one for marks in each for one in marks]
    held = [one for one in found if not one.error]
    _show(arguments, found, held)
    if not arguments.release:
        return Exit.PROBLEM if len(held) < len(found) else Exit.OK
    question = f"let go of {len(held)}? Headway starts none of them."
    if held and not confirmed(arguments, question, "nothing was let go", "let go"):
        raise Stop(Exit.REFUSED, "nothing was let go")
    desk = _Desk(arguments)
    kept = [one for one in held if not _let_go(config, secrets, one, arguments.timeout, desk)]
    return Exit.PROBLEM if kept or len(held) < len(found) else Exit.OK


def _config(arguments: argparse.Namespace) -> Config:
    from console.config import ConfigFaults, load_config
    from console.paths import config_path

    try:
        return load_config(config_path(arguments.config))
    except ConfigFaults as faults:
        raise Stop(Exit.USAGE, f"{len(faults.faults)} fault(s) in the config\n{faults}") from None


def _marks(place: tuple[SystemConfig, str], secrets: SecretStore, timeout: float) -> list[Marked]:
    system, target = place
    name = f"{system.name}/{target}"
    try:
        connector = system.kind.open(system.options, target, secrets)
        try:
            return [_marked(name, one) for one in connector.holds(timeout)]
        finally:
            connector.close()
    except Exception as error:  # noqa: BLE001 - one target that breaks must not hide the marks of the others
        return [Marked(name, "", "", "", None, "", error=secrets.mask(f"{error}") or type(error).__name__)]


def _marked(target: str, one: NativeHold) -> Marked:
    return Marked(target, one.job, one.mark.id, one.mark.by, one.mark.until, one.where, one.bare)


def _show(arguments: argparse.Namespace, found: list[Marked], held: list[Marked]) -> None:
    if arguments.json:
        print_json(arguments, found)
        return
    print_table(
        NATIVE,
        [(one.target, one.job, one.state, stamp(one.until), one.by, one.hold, one.where) for one in held],
    )
    say_lines([f"{one.target} could not be asked: {one.error}" for one in found if one.error])


class _Desk:
    """The rights and the audit of the store, where there is one; without, the source's rights are all there is."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._closed = False

    def refusal(self, one: Marked) -> str:
        """Why the store says no, which is in its audit; empty where it may be let go. Raises StoreTooNew."""
        from console.store.errors import NotAllowed

        try:
            self._emergency().ask_release(self._native(one), self._arguments.why, self._arguments.anyway)
        except NotAllowed as error:
            return str(error)
        except StoreTooNew:
            raise
        except (StoreError, Stop) as error:
            if not self._closed:
                say(f"no store can be asked ({error}): by the source's own rights, and no audit tells of it")
            self._closed = True
        return ""

    def tell(self, one: Marked, done: bool, words: str) -> None:
        if self._closed:
            return
        try:
            self._emergency().tell_release(self._native(one), done, words)
        except StoreError as error:
            say(f"the audit could not be told: {error}")

    def _emergency(self) -> Emergency:
        from console.engine.emergency import Emergency

        return Emergency(store_of(self._arguments))

    @staticmethod
    def _native(one: Marked) -> Native:
        from console.engine.emergency import Native

        system, _, target = one.target.partition("/")
        return Native(system, target, one.job, one.hold)


def _let_go(config: Config, secrets: SecretStore, one: Marked, timeout: float, desk: _Desk) -> bool:
    """Releases that very mark, if it is still there and the store says yes. Whatever it says is printed."""
    if refused := desk.refusal(one):
        say(f"{one.target} {one.job}: {one.state_after(False)}: {refused}")
        return False
    words, done = _send(config, secrets, one, timeout)
    say(f"{one.target} {one.job}: {one.state_after(done)}: {words}")
    desk.tell(one, done, words)
    return done


def _send(config: Config, secrets: SecretStore, one: Marked, timeout: float) -> tuple[str, bool]:
    """What came of it, in words, and whether it is let go."""
    system, _, target = one.target.partition("/")
    kind, options = config.systems[system].kind, config.systems[system].options
    try:
        connector = kind.open(options, target, secrets)
        try:
            return _release(connector, one, timeout)
        finally:
            connector.close()
    except Exception as error:  # noqa: BLE001 - the others are let go all the same
        return secrets.mask(f"{error}") or type(error).__name__, False


def _release(connector: Connector, one: Marked, timeout: float) -> tuple[str, bool]:
    from connectors.contract import Ask, RunRef, State, Verb
    from console.model.ids import new_action_key

    parameters = {"hold": one.hold} | ({"enable": "no"} if one.bare else {})
    preview = connector.preview(Ask(Verb.RELEASE, RunRef(one.job, "", "", ""), State.HELD, parameters), timeout)
    if preview.refused:
        return preview.refused, False
    receipt = connector.act(preview, new_action_key(), timeout)
    return receipt.words or preview.words, True
