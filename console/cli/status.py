"""Status on one page: engine, systems, services at risk and open incidents."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from console.cli.clock_format import clock_cell, in_display_zone, one_zone, timestamp, zone_name
from console.cli.commands import JSON, Handler, one_of, option
from console.cli.exits import Exit
from console.cli.incidents import incident_table, present_verdict
from console.cli.output import Part, Table, ValueColumn, print_result, table, write_page
from console.cli.reader import no_engine_text, store_reader
from console.cli.services import service_table
from console.control.incidents.verdict.decision import urgent_incident
from console.domain.action import ActionView
from console.domain.header import EngineShare, HeaderView, lease_holder_text, silenced_text
from console.domain.switches import format_freeze, freeze_banner
from console.domain.system import DriftView, TargetView
from console.domain.text import render
from console.engine.api.documents import service_document
from console.store.queries.base import STALE_POLLS
from console.timing.durations import format_duration
from console.timing.formats import age_text

if TYPE_CHECKING:
    from console.domain.plan import PlanView
    from console.domain.settings import Declared
    from console.store.queries.audit import ApprovalView


def run_status(arguments: argparse.Namespace) -> int:
    with store_reader(arguments) as reads:
        services, incidents = reads.services.list_services(), reads.incidents.list_incidents()
        header, systems, now = reads.estate.header(services), reads.estate.systems(), reads.now()
        problems, approvals = reads.warnings.list_warnings(), reads.approvals.list_approvals()
        drift = reads.estate.drift()
        unknown = [action for action in reads.actions.withdrawable() if action.state == "unknown"]
        maintenance = _active_maintenance(reads.declared(), now)
        open_plans = reads.plans.list_plans(ended=False)
        urgent = urgent_incident(services, incidents, open_plans, now)
        incident = reads.incidents.incident(urgent) if urgent is not None else None
        plans = reads.plans.list_plans(urgent, ended=False) if urgent is not None else []
        waiting = [plan for plan in open_plans if plan.standstill and plan not in plans]
        engines = reads.estate.engines()
        days = reads.service_days.service_attainment() if arguments.html else ()
    code = Exit.OK if header.engine.alive else Exit.NO_ENGINE
    if arguments.html:
        from console.engine.api.status_page import page_files

        evaluated = now if header.engine.alive else header.engine.heartbeat or now
        attainments = {view.service: view for view in days}
        files = page_files(
            header.estate, timestamp(evaluated), services, attainments, evaluated, is_stale=not header.engine.alive
        )
        write_page(files["index.html"], arguments.html)
        return code
    document = {
        "header": {
            **header._asdict(),
            "frozen": format_freeze(header.frozen) if header.frozen else "",
            "engine": header.engine._asdict(),
            "unseen_targets": [target._asdict() for target in header.unseen_targets],
            "paused_plans": [plan._asdict() for plan in header.paused_plans],
        },
        "engines": [engine._asdict() for engine in engines],
        "systems": systems,
        "services": [service_document(service) for service in services],
        "incidents": incidents,
        "remarks": problems,
        "drift": drift,
        "approvals": approvals,
        "unknown_actions": unknown,
        "waiting_plans": [{"id": plan.id, "why": plan.standstill} for plan in waiting],
        "maintenance": maintenance,
    }
    no_engine = [] if header.engine.alive else engine_text(header).splitlines()  # the verdict is of its last evaluation
    verdict = [present_verdict(incident, plans, header, now)] if incident is not None else []
    with one_zone():
        engine = [] if no_engine else engine_text(header).splitlines()
        banners = list(_banner_lines(header, approvals, unknown, waiting, maintenance))
        rows = table(
            systems,
            ValueColumn("system", lambda target: f"{target.system}/{target.name}", 20, middle=True),
            ValueColumn("health", lambda target: health_text(target, now, header.engine.alive), 16),
            ValueColumn("jobs", lambda target: str(target.jobs), drop=1),
            ValueColumn("last seen", lambda target: age_text(target.last_ok, now)),
        )
        shares: list[Part] = [_engine_table(engines), [""]] if engines else []
        return print_result(
            arguments,
            document,
            [*no_engine, *verdict, f"times: {zone_name(now)}", *engine, *banners, ""],
            *shares,
            rows,
            [""],
            service_table(services, now, not header.engine.alive),
            [""],
            incident_table(incidents, now),
            ["", "problems", *(f"  {in_display_zone(problem)}" for problem in problems)] if problems else [],
            ["", *drift_lines(drift)] if drift else [],
            code=code,
        )


MAX_DRIFTS = 5


def drift_lines(drift: Sequence[DriftView]) -> Iterator[str]:
    """The first changes at the sources that are not accepted."""
    yield "drift that is not accepted (headway system drift):"
    yield from (f"  {change.job}: {change.text or change.what}" for change in drift[:MAX_DRIFTS])
    if len(drift) > MAX_DRIFTS:
        yield f"  … {len(drift) - MAX_DRIFTS} more"


def _banner_lines(
    header: HeaderView,
    approvals: Sequence[ApprovalView],
    unknown: Sequence[ActionView],
    waiting: Sequence[PlanView],
    maintenance: Sequence[dict[str, Any]],
) -> Iterator[str]:
    if header.frozen:
        yield freeze_banner(header.frozen, timestamp)
    yield from (f"IN SHADOW: {scope}; observed without notifying or acting" for scope in header.in_shadow)
    yield from (f"NOT POLLED, {pause.system}: {render(pause.text, timestamp)}" for pause in header.paused)
    yield from filter(None, [silenced_text(header.silenced)])
    for window in maintenance:
        until = timestamp(window["until"])
        yield f"in maintenance: {window['of']} until {until}, alerts suppressed: {window['why']}"
    if approvals:
        yield f"{len(approvals)} waiting for approval: headway action approvals"
    for action in unknown:
        yield f"{action.verb.replace('_', ' ')} of {action.job}: outcome unknown: headway action {action.key}"
    yield from (f"plan {plan} stopped and needs a decision: headway plan {plan}" for plan in header.stopped_plans)
    yield from (f"{plan.text}: headway plan {plan.id}" for plan in header.paused_plans)
    yield from (f"plan {plan.id} waits: {plan.standstill}: headway plan {plan.id}" for plan in waiting)


def _active_maintenance(declared: Declared, now: datetime) -> list[dict[str, Any]]:
    if not declared.maintenance:
        return []
    from console.timing.maintenance import active_maintenances

    return [
        {"of": ", ".join((*window.systems, *window.targets, *window.jobs)), "until": until, "why": window.why}
        for window, until in active_maintenances(declared, now)
    ]


def engine_text(header: HeaderView) -> str:
    """The engine that runs, or since when none does."""
    engine = header.engine
    if engine.alive:
        trouble = f"\nPROBLEM: {in_display_zone(engine.trouble)}" if engine.trouble else ""
        config = f"; config {header.config[:12]} since {timestamp(header.config_since)}" if header.config_since else ""
        since = f"running since {timestamp(engine.since)}"
        return f"{header.estate}: engine on {lease_holder_text(engine.holder)}, {since}{config}{trouble}"
    return f"{header.estate}: {no_engine_text(engine)}"


def _engine_table(engines: Sequence[EngineShare]) -> Table:
    """Engines without a heartbeat are one row, with their shards and the heartbeat of the last one."""
    ended = sorted((engine for engine in engines if not engine.alive), key=attrgetter("heartbeat_age_s"))
    merged = [ended[0]._replace(shards=sum(engine.shards for engine in ended))] if ended else []

    def name(engine: EngineShare) -> str:
        is_merged = not engine.alive and len(ended) > 1
        return f"{len(ended)} engines" if is_merged else lease_holder_text(engine.holder)

    return table(
        [*(engine for engine in engines if engine.alive), *merged],
        ValueColumn("engine", name, 20, middle=True),
        ValueColumn("role", lambda engine: engine.role, 12),
        ValueColumn("shards", lambda engine: str(engine.shards)),
        ValueColumn("hand-overs", _hand_overs_text, drop=1),
        ValueColumn("heartbeat", lambda engine: f"{format_duration(engine.heartbeat_age_s)} ago"),
        ValueColumn("message", lambda engine: in_display_zone(engine.trouble) or "–", 12),
    )


def _hand_overs_text(engine: EngineShare) -> str:
    """ "128, last 06:30 CET"."""
    last = f", last {clock_cell(engine.handed_over, engine.heartbeat)}" if engine.handed_over else ""
    return f"{engine.hand_overs}{last}"


def health_text(target: TargetView, now: datetime, is_engine_alive: bool) -> str:
    """ "ok" if the target answered recently and has no warning, else the problem; while it fails and the last status of
    its runs still counts, for how long."""
    if target.pause is not None:
        return f"paused until {clock_cell(target.pause.until, now)}"
    age_s = (now - target.last_ok).total_seconds() if target.last_ok is not None else math.inf
    left_s = STALE_POLLS * target.poll_every_s - age_s
    if target.is_stopped and left_s >= 0:
        return "! NOTHING STARTS"
    if target.error_kind:
        known = f", runs unknown in {format_duration(left_s)}" if left_s >= 1 and is_engine_alive else ""
        return f"{target.error_kind}{known}"
    if target.last_ok is None:
        return "not seen yet"
    if left_s < 0:
        return target.unseen_status if is_engine_alive else "not polled"
    if any(right.get("held") is False and right.get("needed_for") == "view" for right in target.rights):
        return "! missing rights"
    if target.is_incomplete:
        return "! evidence incomplete"
    number = len(target.warnings)
    return f"! {number} warning{'s' if number > 1 else ''}, see below" if number else "ok"


HANDLERS = {"status": Handler(run_status, one_of(JSON, option("--html", "write an HTML page; - is stdout", "FILE")))}
