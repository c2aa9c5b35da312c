"""`headway doctor`: everything that Headway needs, looked at once, each fault with its mend.

It is `headway check` (config, probes, routes, checks of data) and what stands around that: what is installed, the
store, the engine, the clocks.
"""

from __future__ import annotations

import argparse
import os
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from console.cli import wall
from console.cli.common import Stop, age_words, count, place_of, print_json, say_lines, store_of, wait_seconds
from console.cli.exits import Exit

if TYPE_CHECKING:
    from console.cli.check import Found
    from console.config import Config
    from console.model.views import HeaderView

GOOD, NOTE, BAD = "ok", "note", "FAULT"
LEAST_FREE_BYTES = 1024**3
MOST_SKEW_SECONDS = 5.0
"""More between two clocks, and a start is taken for missed, or for one of another minute."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: "ok", "note" (nothing to mend now) or "FAULT"."""

    area: str
    verdict: str
    words: str
    mend: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-probe", action="store_true", help="touch no system")
    parser.add_argument("--timeout", type=wait_seconds, default=20.0, metavar="SECONDS", help="for each target (20)")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    found = list(_all(arguments))
    faults = [one for one in found if one.verdict == BAD]
    if arguments.json:
        print_json(arguments, {"healthy": not faults, "findings": [asdict(one) for one in found]})
    else:
        say_lines(line for one in found for line in _lines(one))
        say_lines(["", f"{count(faults, 'fault')} to mend" if faults else "nothing to mend"])
    return Exit.PROBLEM if faults else Exit.OK


def _lines(one: Finding) -> Iterator[str]:
    yield f"{one.verdict:<6}{one.area:<13} {one.words}"
    if one.mend:
        yield f"{'':<20}mend: {one.mend}"


def _all(arguments: argparse.Namespace) -> Iterator[Finding]:
    yield from installation()
    config, findings = _config(arguments)
    yield from findings
    yield from _store(arguments, config)
    if config is not None:
        yield from _systems(arguments, config)


def installation() -> Iterator[Finding]:
    """Versions, the kinds, and what the machine must bring."""
    from importlib.metadata import version
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    from connectors.catalog import entries

    kinds = entries()
    python = ".".join(map(str, sys.version_info[:3]))
    usable = ", ".join(one.kind for one in kinds if not one.error)
    yield Finding("installation", GOOD, f"headway {version('headway')}, Python {python}; kinds: {usable}")
    for one in kinds:
        if one.error:
            yield Finding("installation", NOTE, one.error)
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    if encoding != "utf8":
        yield Finding("terminal", NOTE, f"writes {encoding or 'an unknown encoding'}, not UTF-8: signs are replaced",
                      "export LANG=C.UTF-8")  # fmt: skip
    try:
        ZoneInfo("Europe/Berlin")
    except ZoneInfoNotFoundError:
        yield Finding("installation", BAD, "no time zone can be read", "pip install tzdata")


def _config(arguments: argparse.Namespace) -> tuple[Config | None, list[Finding]]:
    from console.cli.check import without_days
    from console.config import ConfigFaults, load_config
    from console.config.scopes import patterns_for_nothing
    from console.paths import config_path

    path = config_path(arguments.config)
    if not path.exists():
        mend = "headway init writes one from what runs here; headway demo needs none"
        return None, [Finding("config", BAD, f"{path} is not there", mend)]
    try:
        config = load_config(path)
    except ConfigFaults as faults:
        return None, [Finding("config", BAD, str(one)) for one in faults.faults]
    size = f"{count(config.systems, 'system')}, {count(config.services, 'service')}"
    found = [Finding("config", GOOD, f"{path}: {size}, no fault")]
    if not config.permissions:
        words = "no [[permissions]]: whoever can write the store may do everything"
        found.append(Finding("config", NOTE, words, "docs/security.md says how to limit it"))
    return config, found + [
        Finding("config", BAD, one) for one in (*patterns_for_nothing(config), *without_days(config))
    ]


def _store(arguments: argparse.Namespace, config: Config | None) -> Iterator[Finding]:
    """The store, and who works on it."""
    from console.cli.check import without_job
    from console.store.errors import StoreError, StoreMissing
    from console.store.reads import open_reads

    try:
        url = store_of(arguments)
        with open_reads(url) as reads:
            header = reads.header()
            wall.hang(reads.service_zones())
        names = without_job(config, arguments) if config is not None else []
    except StoreMissing as error:
        yield Finding("store", BAD, str(error), "headway engine makes it")
    except (Stop, StoreError) as error:
        yield Finding("store", BAD, str(error))
    else:
        yield from _file(url)
        yield from _engine(header, config)
        yield from (Finding("config", BAD, one) for one in names)


def _file(url: str) -> Iterator[Finding]:
    """What a store that is a file needs of its disk; nothing is repeated of a URL, it may hold a password."""
    path = Path(url.removeprefix("sqlite:///"))
    if not path.is_file():
        yield Finding("store", GOOD, "a shared one answers")
        return
    free, mode = shutil.disk_usage(path.parent).free, stat.S_IMODE(path.stat().st_mode)
    yield Finding("store", GOOD, f"{path}: {path.stat().st_size / 1024**2:.1f} MiB, {free / 1024**3:.1f} GiB free")
    if free < LEAST_FREE_BYTES:
        yield Finding("store", BAD, f"less than 1 GiB is free beside {path}", "make room: a full disk ends the watch")
    if mode & 0o077:
        yield Finding("store", BAD, f"{path} can be read by others (mode {mode:o})", f"chmod 600 {path}")
    if not os.access(path, os.W_OK):
        words = f"{path} is not yours to write: nothing can be asked for"
        yield Finding("store", NOTE, words, "run as the user to whom it belongs")


def _engine(header: HeaderView, config: Config | None) -> Iterator[Finding]:
    from datetime import UTC, datetime

    engine = header.engine
    if not engine.alive:
        mend = "" if engine.stuck else "headway engine"  # what stuck says is that none should be started
        yield Finding("engine", BAD, age_words(engine.heartbeat, datetime.now(UTC), engine.stuck), mend)
    elif engine.trouble:
        yield Finding("engine", BAD, engine.trouble, f"see the engine's log on {place_of(engine.holder)}")
    else:
        yield Finding("engine", GOOD, f"works on {place_of(engine.holder)}")
    if engine.alive and config is not None and header.config != config.digest:
        words = "it works by another config than the one that stands here"
        yield Finding("engine", NOTE, words, "it takes up a good one within seconds; else see its log")
    if header.frozen:
        yield Finding("engine", NOTE, f"nothing is sent: {header.frozen}", "headway freeze --off")
    for one in header.in_shadow:
        yield Finding("engine", NOTE, f"in shadow, nothing is sent: {one}", "headway shadow off")


def _systems(arguments: argparse.Namespace, config: Config) -> Iterator[Finding]:
    """Every probe, route and check of data, and what the clocks say."""
    from connectors.secrets import SecretStore
    from console.cli.check import check_routes, look_all, probe_all, works

    if arguments.no_probe:
        yield Finding("systems", NOTE, "not probed (--no-probe)")
        return
    secrets = SecretStore()
    targets = probe_all(config, secrets, arguments.timeout, works(arguments))
    yield from (finding for one in targets for finding in _probed("system", one))
    yield from clocks(targets)
    looked = [("route", one) for one in check_routes(config, secrets)]
    looked += [("check", one) for one in look_all(config, secrets, arguments.timeout)]
    yield from (finding for area, one in looked for finding in _probed(area, one))


def _probed(area: str, one: Found) -> Iterator[Finding]:
    if one.verdict == "ok":
        yield Finding(area, GOOD, " ".join(filter(None, [one.target, one.version])))
    else:
        words = one.words or ("no word why",)
        yield from (Finding(area, BAD, f"{one.target} {one.verdict}: {each}") for each in words)
    yield from (Finding(area, NOTE, f"{one.target}: {each}") for each in one.notes)


def clocks(targets: Iterable[Found]) -> Iterator[Finding]:
    """Whose clock is off: where most targets agree against us it is ours."""
    skews = {one.target: one.skew_seconds for one in targets if one.skew_seconds is not None}
    off = {target: skew for target, skew in skews.items() if abs(skew) > MOST_SKEW_SECONDS}
    middle = median(skews.values()) if skews else 0.0
    if len(skews) > 1 and abs(middle) > MOST_SKEW_SECONDS and len(off) > len(skews) / 2:
        words = f"most systems are about {middle:+.0f} s from this machine: it is this machine's clock"
        yield Finding("clock", BAD, words, "timedatectl set-ntp true, or whatever keeps time here")
        return
    for target, skew in off.items():
        words = f"the clock of {target} is {skew:+.0f} s from ours; starts are taken by its clock"
        yield Finding("clock", BAD, words, "have that machine keep time (timedatectl, chrony)")
    if skews and not off:
        worst = max(abs(skew) for skew in skews.values())
        yield Finding("clock", GOOD, f"{count(skews, 'system')} within {worst:.1f} s of this machine")
