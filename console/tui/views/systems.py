"""Systems: their polls, age and errors; one target with health, cursor and capabilities; probe and pause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from textual.app import ComposeResult

from connectors.sdk.states import Capability, RunState
from console.domain.filter import field_term
from console.domain.header import EngineShare
from console.domain.switches import DEFAULT_PAUSE, SystemPause, pause_length_fault
from console.domain.system import DriftView, TargetView, split_right
from console.domain.text import render
from console.engine.api.requests import ProbeSystem
from console.store.queries.reader import Queries
from console.timing.durations import format_duration, parse_duration
from console.tui.frame.cells import (
    WIDEST_NAME,
    RenderContext,
    SegmentLines,
    counted,
    labelled_lines,
    paused_text,
    target_name,
)
from console.tui.frame.clock_format import format_short
from console.tui.frame.console_app import EngineAnswer
from console.tui.frame.engine_request import PendingRequest
from console.tui.frame.intent import ScreenCommand
from console.tui.frame.screen import HeadwayScreen
from console.tui.views.commands import common_commands
from console.tui.views.details import DetailText
from console.tui.views.incidents.preview import incident_source
from console.tui.views.incidents.verdict_line import VerdictLine
from console.tui.views.jobs.preview import jobs_source
from console.tui.views.lists import ViewList
from console.tui.views.months import show_months
from console.tui.views.preview import PREVIEW_FROM, PreviewBelow, PreviewBeside, PreviewSource
from console.tui.views.runs.preview import runs_source
from console.tui.widgets.paint import Segment, length_of
from console.tui.widgets.table import Column, TableRow, cells_row

SYSTEM_COLUMNS = (
    Column("", 1, 1),
    Column("system", 19, 1, flex=2, most=34),
    Column("kind", 14, 4),
    Column("status", 12, 1),
    Column("polled", 10, 1),
    Column("every", 6, 5, right=True),
    Column("took", 6, 5, right=True),
    Column("jobs", 7, 2, right=True),
    Column("can", 12, 6, flex=1, most=30),
    Column("problem", 24, 1, flex=3),
)

WIDEST_CAN = 22
"""Columns that the verbs of a system get before its kind gets more."""

READING = (Capability.NATIVE_DEPENDENCIES, Capability.PERIODS)


def systems_columns(views: Sequence[TargetView]) -> tuple[Column, ...]:
    system = max((len(target_name(view)) for view in views), default=0)
    longest = {
        "kind": max((len(_kind_text(view)) for view in views), default=0),
        "can": max((len(_capability_text(view)) for view in views), default=0),
    }
    speaks = any(view.problem for view in views)

    def fitted(column: Column) -> Column:
        if column.title == "system":
            return column._replace(width=max(column.width, min(system, WIDEST_NAME)), flex=1, most=system)
        if column.title in longest:
            whole = max(column.width, longest[column.title])
            width = min(whole, WIDEST_CAN) if column.title == "can" and not speaks else column.width
            return column._replace(width=width, most=whole, flex=6)
        return column._replace(width=7, flex=0) if column.title == "problem" and not speaks else column

    return tuple(map(fitted, SYSTEM_COLUMNS))


def target_row(view: TargetView, ctx: RenderContext, is_watched: bool = True) -> TableRow:
    sick = view.polls_fail or view.pause is not None
    length = format_short if sick else format_duration
    age = f"{length(ctx.now - view.last_ok)} ago" if view.last_ok else "never"
    mark, label, style = _health_cell(view, ctx, is_watched)
    return cells_row(
        target_name(view),
        (mark, style),
        (target_name(view), "strong" if sick else "plain"),
        (_kind_text(view), "dim"),
        (label, style),
        (age, "warn" if sick else "plain"),
        (format_duration(view.poll_every_s), "dim"),
        ("" if view.poll_ms is None else f"{view.poll_ms:.0f}ms", "dim"),
        (f"{view.jobs:,}", "plain"),
        (_capability_text(view), "dim"),
        _problem_text(view, ctx),
    )


def _health_cell(view: TargetView, ctx: RenderContext, is_watched: bool) -> tuple[str, str, str]:
    if view.polls_fail or view.pause is not None:
        return ctx.sign("unseen"), "paused" if view.pause is not None else view.unseen_status, "warn"
    if view.last_ok is None:
        return ctx.mark("state", RunState.WAITING)[0], "not seen yet", "dim"
    if view.is_stopped:
        return ctx.mark("state", RunState.MISSED)[0], view.unseen_status, "bad"
    if not is_watched:
        return "?", "disabled", "dim"
    return ctx.mark("state", RunState.SUCCEEDED)[0], "reachable", "ok"


def _kind_text(view: TargetView) -> str:
    """Kind and version, with the kind once: some versions begin with it."""
    return view.version if view.version.startswith(f"{view.kind} ") else f"{view.kind} {view.version}".strip()


def _capability_text(view: TargetView) -> str:
    return " ".join(verb.replace("_", " ") for verb in view.capabilities if verb not in READING)


def _problem_text(view: TargetView, ctx: RenderContext) -> Segment:
    if view.pause is not None:
        return paused_text(view.pause, ctx), "warn"
    if view.error:
        return view.whole_error, "bad"  # its kind is the status
    return view.problem, "warn"


DRIFTS = 20
_STYLES = {"MAY NOT": "bad", "may?": "warn"}
Labelled = list[tuple[str, str, str]]


def system_lines(
    view: TargetView, drift: Sequence[DriftView], ctx: RenderContext, engines: Sequence[EngineShare] = ()
) -> SegmentLines:
    verdict = view.verdict(ctx.day)
    lines: SegmentLines = [[(verdict, "warn" if view.pause is not None else "bad")], []] if verdict else []
    lines += labelled_lines([*_health_lines(view, ctx), *_reads(view, ctx)])
    lines += [[], [("CAN", "key")], *labelled_lines(_capability_lines(view))]
    if view.warnings:
        lines += [[], [("WARNINGS", "key"), (f"  {len(view.warnings)}", "dim")], *_each_line(view.warnings, "warn")]
    if view.skipped:
        head = [("SKIPPED", "key"), (f"  {view.skipped:,} records could not be read; the latest", "dim")]
        lines += [[], head, *_each_line(view.skipped_reasons, "plain")]
    if drift:
        lines += [[], [("DRIFT", "key"), (f"  {counted(len(drift), 'job')} drifted", "dim")]]
        lines += [[(f"  {entry.job}  ", "plain"), (entry.text or entry.what, "dim")] for entry in drift[:DRIFTS]]
    if len(engines) > 1:
        lines += [[], [("ENGINES", "key"), (f"  {len(engines)} share the systems", "dim")]]
        shares = zip(engine_segments(engines), engines, strict=True)
        lines += [[(f" {text}", style), (f"  {engine.trouble}", "warn")] for (text, style), engine in shares]
    return lines


def _health_lines(view: TargetView, ctx: RenderContext) -> Labelled:
    failing = ""
    if view.failing_since is not None:
        polls = f", {counted(view.failures, 'poll')} in a row" if view.polls_fail else ""
        failing = f"since {ctx.day(view.failing_since)}{polls}"
    age, answered = f"{format_duration(ctx.now - view.last_ok)} ago" if view.last_ok else "never seen", ""
    if view.next_try is not None and view.last_try is not None:
        age, answered = f"{format_duration(ctx.now - view.last_try)} ago", f"; last answered {age}"
    every = format_duration(view.poll_every_s)
    return [
        ("stopped" if view.is_stopped else "failing", failing, "bad"),
        ("polled", f"{age}, every {every}{answered}", "plain" if view.is_well else "warn"),
        ("next", view.next_try_text(ctx.now), "plain"),
        ("lag", _lag(view, ctx), "warn"),
        ("took", "" if view.poll_ms is None else f"{view.poll_ms:.0f} ms", "plain"),
        ("requests", view.budget, "plain"),
    ]


def _lag(view: TargetView, ctx: RenderContext) -> str:
    every = timedelta(seconds=view.poll_every_s)
    late = ctx.now - view.last_ok - every if view.last_ok else timedelta(0)
    return f"{format_duration(late)} behind its interval" if late > every else ""


def _reads(view: TargetView, ctx: RenderContext) -> Labelled:
    clock, now = ctx.clock, ctx.now
    seen = ""
    if view.seen_until is not None:
        age = format_duration(now - view.seen_until)
        seen = f"all starts known until {clock.day(view.seen_until, now)}, {age} ago"
    listed = f", listed {format_duration(now - view.inventory)} ago" if view.inventory else ""
    lost = view.incomplete_text(ctx.stamp)
    return [
        ("kind", _kind_text(view), "plain"),
        ("cursor", seen, "plain"),
        ("jobs", f"{view.jobs:,}{listed}", "plain"),
        ("clock", "" if view.skew_s is None else f"{view.skew_s:+.1f} s from ours", "plain"),
        ("zone", view.zone, "plain"),
        ("up since", f"{ctx.stamp(view.booted)} {ctx.clock.label(view.booted)}" if view.booted else "", "plain"),
        ("evidence", lost, "warn"),
    ]


def _capability_lines(view: TargetView) -> Labelled:
    rows: Labelled = [("can", _capability_text(view) or "nothing: read only", "plain")]
    rows += [("cannot", f"{verb.replace('_', ' ')}: {why}", "dim") for verb, why in view.missing.items()]
    held = [str(right.get("name", "")) for right in view.rights if right.get("held")]
    lacking = [split_right(right) for right in view.rights if not right.get("held")]
    return [*rows, ("may", ", ".join(held), "plain"), *((label, text, _STYLES[label]) for label, text in lacking)]


def _each_line(texts: Sequence[str], style: str) -> SegmentLines:
    return [[(f"  {text}", style)] for text in texts]


def system_commands(screen: HeadwayScreen, target: Callable[[], TargetView | None]) -> list[ScreenCommand]:
    def on_target(run: Callable[[HeadwayScreen, TargetView], None]) -> None:
        if (view := target()) is not None:
            run(screen, view)

    def no_target() -> str:
        return "" if target() else "no system is selected"

    return [
        ScreenCommand("probe", lambda: on_target(probe), no_target),
        ScreenCommand("pause_polling", lambda: on_target(pause_polling), no_target),
        ScreenCommand("jobs_here", lambda: on_target(list_jobs), no_target),
        ScreenCommand("months", lambda: on_target(months_of_system), no_target),
        ScreenCommand("shell", lambda: on_target(open_session), no_target),
    ]


def list_jobs(screen: HeadwayScreen, view: TargetView) -> None:
    screen.navigation.open_jobs(field_term("system", view.system))


def months_of_system(screen: HeadwayScreen, view: TargetView) -> None:
    show_months(screen, "system", view.system, view.system)


def open_session(screen: HeadwayScreen, view: TargetView) -> None:
    if not screen.board.command:
        screen.notice("a replay has no hosts to sign in to", "warn")
        return
    from console.tui.terminal.external_program import open_shell

    screen.notice(open_shell(screen.board, screen.board.command, target_name(view)))


def is_monitored(screen: HeadwayScreen) -> bool:
    board = screen.board
    return not board.store_error and (board.header is None or board.header.engine.alive)


def probe(screen: HeadwayScreen, view: TargetView) -> None:
    name = target_name(view)
    screen.notice(f"asking {name} …")

    def answered(answer: EngineAnswer) -> None:
        if not answer.ok:
            failed(answer.error)
            return
        from console.tui.dialogs.overlay import TextScreen

        answers: Sequence[Mapping[str, Any]] = answer.data["targets"]
        lines: list[str] = []
        for target in answers:
            status = f"answers in {target['took_ms']} ms" if target["reachable"] else "does NOT answer"
            lines.append(f"{target['target']}: {status}{', ' + target['version'] if target['version'] else ''}")
            lines += [f"  {target['error']}"] if target["error"] else []
            for right in target["rights"]:
                label, text = split_right(right)
                lines.append(f"  {label:<8} {text}")
            lines.append("")
        text = "\n".join(lines).rstrip()
        screen.notice("")
        screen.board.push_screen(TextScreen(f"probe of {name}", text, text))

    def failed(reason: str) -> None:
        screen.notice(f"not probed: {reason}", "bad")

    PendingRequest(
        screen, "probe", lambda requests: requests.ask(ProbeSystem(view.system, view.name)), answered, failed
    )


def pause_polling(screen: HeadwayScreen, view: TargetView) -> None:
    system = view.system
    if view.pause is not None:
        from console.tui.dialogs.palette import confirm

        text = f"{render(view.pause.text, screen.ctx.zoned)}; the next poll refreshes it"
        confirm(screen, f"polling of {system} is paused", "Resume polling", text,
                lambda: _send_pause(screen, system, 0.0, ""))  # fmt: skip
        return
    from console.tui.dialogs.ask import ask_length_and_reason, duration_fault

    def fault(text: str) -> str:
        return duration_fault(text) or pause_length_fault(parse_duration(text))

    says = "for how long? Polling resumes by itself after that; applies to all its targets"
    usual = format_duration(DEFAULT_PAUSE.total_seconds())
    reason_says = "reason. Until then its jobs are shown as unknown"
    ask_length_and_reason(screen, f"PAUSE POLLING of {system}", says, usual, reason_says,
                          lambda length, why: _send_pause(screen, system, parse_duration(length).total_seconds(), why),
                          fault)  # fmt: skip


def _send_pause(screen: HeadwayScreen, system: str, seconds: float, why: str) -> None:
    def done(pause: SystemPause) -> None:
        until = screen.ctx.hm(pause.until)
        screen.notice(f"{system}: not polled until {until}" if seconds else f"{system}: polled again", "ok")
        screen.board.read_header()
        screen.fetch()

    order = f"{'pause' if seconds else 'resume'} polls of {system}"
    screen.send_request("pause", lambda requests: requests.pause_polling(system, seconds, why), done, order)


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _read_systems(reads: Queries) -> tuple[Sequence[TargetView], int, Sequence[EngineShare]]:
    return reads.estate.systems(), reads.warnings.config_fault_count(), reads.estate.engines()


SystemAnswer = tuple[TargetView | None, tuple[DriftView, ...], Sequence[EngineShare]]


def _read_system(reads: Queries, target: str) -> SystemAnswer:
    view = next((view for view in reads.estate.systems() if target_name(view) == target), None)
    if view is None:
        return None, (), ()
    drift = tuple(drift for drift in reads.estate.drift() if drift.job.startswith(f"{view.system}/"))
    return view, drift, reads.estate.engines()


def engine_segments(engines: Sequence[EngineShare]) -> list[Segment]:
    """ "db07 128 shards, 3 hand-overs, 2s ago": host, share and age of the last heartbeat. With "db07 process 4711"
    where several share the host."""
    hosts = Counter(engine.host for engine in engines)
    segments: list[Segment] = []
    for engine in engines:
        name = f"{engine.host} process {engine.process}" if hosts[engine.host] > 1 else engine.host
        age = format_duration(engine.heartbeat_age_s)
        shards = f"{counted(engine.shards, 'shard')}, {counted(engine.hand_overs, 'hand-over')}"
        status = f"{shards}, {age} ago" if engine.alive else f"{engine.role} for {age}"
        segments.append((f" {name} {status}", "plain" if engine.alive and not engine.trouble else "warn"))
    return segments


class SystemsScreen(HeadwayScreen):
    WHERE = "systems"

    def __init__(self) -> None:
        super().__init__()
        self.config_faults = 0
        self.engines: Sequence[EngineShare] = ()
        self.list = ViewList(
            self,
            SYSTEM_COLUMNS,
            lambda: "no system is configured yet: [systems.NAME] in the config names one",
            row=lambda view: target_row(view, self.ctx, is_watched=is_monitored(self)),
            text=_filter_text,
            key=target_name,
            is_problem=lambda view: not view.is_well or bool(view.error or view.skipped),
        )
        self.verdict = VerdictLine(self)
        self.preview = PreviewBelow(self, self._preview_source, self.list.grid)
        self.jobs_preview = PreviewBeside(self, lambda: jobs_source(self.selected.system) if self.selected else None)
        self.list.painted = self.preview.moved
        self.parts = (self.verdict, self.list, self.preview, self.jobs_preview)

    def commands(self) -> Sequence[ScreenCommand]:
        return [
            *common_commands(self),
            *system_commands(self, lambda: self.list.selected),
            ScreenCommand("open", lambda: self.navigation.open_system(self.selected_name()), self.list.why_not_open),
        ]

    def body(self) -> ComposeResult:
        yield from self.verdict.widgets()
        yield from self.jobs_preview.beside(self.list.widgets(), self.preview.widgets())

    def _preview_source(self) -> PreviewSource | None:
        target = self.selected_name()
        if not target:
            return None

        def lines(answer: SystemAnswer, ctx: RenderContext, width: int, height: int) -> SegmentLines:
            view, drift, engines = answer
            title: list[Segment] = [("SYSTEM ", "key"), (target, "strong")]
            return [title, *system_lines(view, drift, ctx, engines)] if view is not None else []

        return PreviewSource(("system", target), lambda reads: _read_system(reads, target), lines)

    def fetch(self) -> None:
        self.ask("systems", _read_systems, self._show)
        super().fetch()

    def _show(self, answer: tuple[Sequence[TargetView], int, Sequence[EngineShare]]) -> None:
        """Unreachable systems first, longest first."""
        targets, self.config_faults, self.engines = answer
        self.list.grid.set_columns(systems_columns(targets))
        self.list.show_views(sorted(targets, key=_severity))

    def title_runs(self) -> tuple[Sequence[Segment], Sequence[Segment]]:
        views: Sequence[TargetView] = self.list.views
        title: list[Segment] = [(" SYSTEMS", "key"), (f" {len(views)}", "strong")]
        if paused := len({view.system for view in views if view.pause is not None}):
            title.append((f"  {counted(paused, 'system')} not polled (P)", "warn"))
        if sick := sum(view.failing_since is not None for view in views):
            title.append((f"  {sick} failing", "warn"))
        if self.config_faults:
            title.append((f"  {self.config_faults} to fix in the config: headway status", "warn"))
        return [*title, *self._engine_runs(length_of(title))], self.list.title_marks()

    def _engine_runs(self, used: int) -> list[Segment]:
        """Each engine if all fit into the line of the title, else how many and where they are listed."""
        many, shares = f"  {counted(len(self.engines), 'engine')}", engine_segments(self.engines)
        if not shares:
            return []
        runs: list[Segment] = [(f"{many}:", "dim"), *shares]
        if used + length_of(runs) + length_of(self.list.title_marks()) < self.size.width:
            return runs
        failing = sum(style == "warn" for _, style in shares)
        warning = (f", {failing} failing", "warn")
        return [(many, "dim"), *[warning] * bool(failing), (f": {self.key_for('open')} lists them", "dim")]

    def selected_name(self) -> str:
        return target_name(self.selected) if self.selected else ""

    def why_no_job(self) -> str:
        return f"a system is not a job: {self.key_for('jobs_here')} shows its jobs"


def _severity(view: TargetView) -> tuple[bool, bool, datetime, str]:
    return view.failing_since is None, view.pause is None, view.failing_since or EPOCH, target_name(view)


def _filter_text(view: TargetView) -> str:
    return f"{target_name(view)} {view.kind} {view.problem} system:{view.system} state:{view.error_kind}"


class SystemScreen(HeadwayScreen):
    WHERE = "system"

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target
        self.subject = "target", target
        self.view: TargetView | None = None
        self.drift: tuple[DriftView, ...] = ()
        self.engines: Sequence[EngineShare] = ()
        self.verdict = VerdictLine(self, is_optional=True)
        self.text = DetailText(lambda: system_lines(self.view, self.drift, self.ctx, self.engines) if self.view else [])
        self.jobs_preview = PreviewBeside(self, lambda: jobs_source(self.view.system) if self.view else None)
        self.incident_preview = PreviewBelow(self, self._source_below, self.text.pane, PREVIEW_FROM)
        self.parts = (self.verdict, self.text, self.jobs_preview, self.incident_preview)

    def body(self) -> ComposeResult:
        yield from self.verdict.widgets()
        yield from self.jobs_preview.beside(self.text.widgets(), self.incident_preview.widgets())

    def _source_below(self) -> PreviewSource | None:
        """The incident of the verdict line if it began in this system, else the latest runs."""
        view, opened = self.view, self.verdict.view
        if view is None:
            return None
        if opened is not None and opened.row.root_job.partition("/")[0] == view.system:
            return incident_source(opened.row.id, self.verdict)
        return runs_source(view.system)

    def commands(self) -> Sequence[ScreenCommand]:
        own = system_commands(self, lambda: self.view)
        jobs = next(command for command in own if command.name == "jobs_here")
        return [*common_commands(self), *own, jobs._replace(name="open")]

    def fetch(self) -> None:
        self.ask("system", lambda reads: _read_system(reads, self.target), self._show)

    def _show(self, answer: SystemAnswer) -> None:
        self.view, self.drift, self.engines = answer
        self.lost = "" if self.view else "it is not configured any more"
        self.tick()
        self.verdict.fetch()
        self.jobs_preview.fetch()
        self.incident_preview.fetch()

    def title_runs(self) -> tuple[Sequence[Segment], Sequence[Segment]]:
        view = self.view
        if view is None:
            return [(f" SYSTEM {self.target}", "key"), (f"  {self.waiting}", "warn")], []
        text, style = (view.unseen_status, "bad") if view.failing_since else ("not polled", "warn")
        if view.is_well:
            reason = "the store cannot be read" if self.board.store_error else "no engine"
            text, style = f"{reason}: this is the last known state", "warn"
            if is_monitored(self):
                many = counted(len(view.warnings), "warning")
                text, style = (many, "warn") if view.warnings else ("reachable", "ok")
        return [(" SYSTEM ", "key"), (self.target, "strong"), (f"  {text}", style)], []

    def selected_name(self) -> str:
        return target_name(self.view) if self.view else ""

    def why_no_job(self) -> str:
        return f"a system is not a job: {self.key_for('jobs_here')} shows its jobs"
