"""`headway status`: one page for a person who has just been woken."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from console.cli.common import now_of, place_of, print_json, reading, say_lines, since_words, stamp
from console.cli.exits import Exit
from console.cli.incidents import incident_rows
from console.cli.services import service_json, service_rows
from console.cli.table import Col, print_table
from console.cli.wall import cell_clock
from console.model.declared import Declared
from console.model.views import HeaderView, TargetView
from console.store.reads.audit import ApprovalView
from console.store.reads.base import STALE_POLLS

SYSTEMS = (Col("system", 20, middle=True), Col("health", 16), Col("jobs", drop=1), Col("last seen"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true")
    form.add_argument("--html", metavar="FILE", help="a page for people without a terminal; - is stdout")


def run(arguments: argparse.Namespace) -> int:
    with reading(arguments) as reads:
        header, systems = reads.header(), reads.systems()
        services, incidents, remarks = reads.services(), reads.incidents(), reads.remarks()
        waiting, now = reads.approvals(), now_of(reads)
        quiet = _maintenance(reads.declared(), now)
    code = Exit.OK if header.engine.alive else Exit.NO_ENGINE
    if arguments.json:
        board = [service_json(one) for one in services]
        print_json(arguments, {"header": header, "systems": systems, "services": board, "incidents": incidents,
                    "remarks": remarks, "approvals": waiting, "maintenance": quiet})  # fmt: skip
        return code
    told = list(_banners(header, waiting, quiet))
    if arguments.html:
        from console.cli.status_page import Board, page, write_page

        health = [(one, health_words(one, now)) for one in systems]
        write_page(
            page(Board(header, services, incidents, health, [*told, *remarks], engine_words(header), now)),
            arguments.html,
        )
    else:
        say_lines([*engine_words(header).splitlines(), *told, ""])
        print_table(SYSTEMS, [_system(one, now) for one in systems])
        print()
        print_table(*service_rows(services, now))
        print()
        print_table(*incident_rows(incidents, now))
        say_lines(["", "to mend", *(f"  {one}" for one in remarks)] if remarks else [])
    return code


def _banners(header: HeaderView, waiting: Sequence[ApprovalView], quiet: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What keeps things from being told or sent, and what waits for a person."""
    if header.frozen:
        yield f"FROZEN, nothing is sent: {header.frozen.removeprefix('frozen ')}"
    yield from (f"IN SHADOW: {one}; watched, and nothing is sent" for one in header.in_shadow)
    yield from (f"NOT POLLED, {one.system}: {one.told(stamp(one.until))}" for one in header.paused)
    yield from (f"in maintenance: {one['of']} until {stamp(one['until'])}, not told: {one['why']}" for one in quiet)
    if waiting:
        yield f"{len(waiting)} to approve: headway approvals"
    yield from (f"plan {one} stopped and waits for you: headway recovery {one}" for one in header.stopped_plans)


def _maintenance(declared: Declared, now: datetime) -> list[dict[str, Any]]:
    """What lasts now: of what, until when, why."""
    if not declared.maintenance:
        return []
    from console.control.maintenance import lasting

    return [
        {"of": ", ".join((*one.systems, *one.targets, *one.jobs)), "until": until, "why": one.why}
        for one, until in lasting(declared, now)
    ]


def engine_words(header: HeaderView) -> str:
    """Who watches, or since when nobody does."""
    engine = header.engine
    if engine.alive:
        trouble = f"\nTROUBLE in the engine, see its log: {engine.trouble}" if engine.trouble else ""
        config = f"; config {header.config[:12]} since {stamp(header.config_since)}" if header.config_since else ""
        works = f"works since {stamp(engine.since)}"
        return f"{header.estate}: engine on {place_of(engine.holder)}, {works}{config}{trouble}"
    if engine.stuck:
        since = f" since {stamp(engine.heartbeat)}" if engine.heartbeat else ""
        return f"{header.estate}: NOTHING IS WATCHED{since}: {engine.stuck}"
    if engine.heartbeat is None:
        return f"{header.estate}: NO ENGINE has ever worked on this store. Start one: headway engine"
    return f"{header.estate}: NO ENGINE since {stamp(engine.heartbeat)}. Start one: headway engine"


def _system(one: TargetView, now: datetime) -> tuple[str, ...]:
    return (f"{one.system}/{one.name}", health_words(one, now), str(one.jobs), since_words(one.last_ok, now))


def health_words(one: TargetView, now: datetime) -> str:
    """ "ok" only where the target answers, lately, and nothing keeps it from telling all; warnings stand below."""
    if one.pause is not None:
        return f"paused until {cell_clock(one.pause.until, '', now)}"
    if one.error_kind:
        return one.error_kind
    if one.last_ok is None:
        return "not seen yet"
    if now - one.last_ok > STALE_POLLS * timedelta(seconds=one.poll_every_s):
        return "out of sight"
    if one.stands_still:
        return "! NOTHING STARTS"
    if any(right.get("held") is False and right.get("needed_for") == "view" for right in one.rights):
        return "! missing rights"
    number = len(one.warnings)
    return f"! {number} warning{'s' if number > 1 else ''}, see below" if number else "ok"
