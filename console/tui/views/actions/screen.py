"""Actions: requests to schedulers with requester, reason and outcome; one action with its calls, history and proof."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.app import ComposeResult

from console.domain.action import ActionDetailView, ActionHistoryEntry, ActionProofView, parameters_text, verb_summary
from console.domain.hold import HoldView
from console.domain.ids import incident_name
from console.domain.text import render
from console.engine.api.requests import WithdrawAction
from console.store.queries.reader import Queries
from console.timing.durations import format_duration
from console.tui.dialogs.approve import open_approval
from console.tui.dialogs.ask import AskScreen
from console.tui.frame.cells import RenderContext, SegmentLines, counted, labelled_lines
from console.tui.frame.clock_format import format_short
from console.tui.frame.engine_request import send_order
from console.tui.frame.intent import RunChoice, ScreenCommand, verb_label
from console.tui.frame.screen import NOT_SELECTED, HeadwayScreen
from console.tui.views.commands import common_commands
from console.tui.views.details import DetailText
from console.tui.views.incidents.preview import empty_source
from console.tui.views.incidents.verdict_line import VerdictLine
from console.tui.views.jobs.preview import job_source
from console.tui.views.lists import ViewList
from console.tui.views.preview import PREVIEW_FROM, PreviewBelow, PreviewBeside, PreviewSource
from console.tui.views.runs.preview import run_source, runs_source
from console.tui.widgets.paint import Segment
from console.tui.widgets.table import Column, TableRow, cells_row

ACTION_COLUMNS = (
    Column("", 1, 1),
    Column("requested", 9, 1),
    Column("state", 9, 1),
    Column("does", 8, 2, flex=2, most=22),
    Column("job", 29, 1, flex=3, most=46, middle=True),
    Column("by", 7, 3, flex=1, most=14),
    Column("message", 18, 2, flex=4),
    Column("why", 12, 4, flex=2),
)
PROVEN_TEXTS = {"native": "as its scheduler recorded it", "inferred": "inferred: no source recorded its end",
        "asserted": "asserted by a person", "conflict": "sources disagree"}  # fmt: skip


def action_row(view: ActionDetailView, ctx: RenderContext) -> TableRow:
    mark, label, style = ctx.mark("action", view.state)
    if view.waits_for_approval:
        label, style = "approve?", "warn"
    return cells_row(
        view.key,
        (mark, style),
        (ctx.day(view.requested), "dim"),
        (label, style),
        (view.verb_text, "plain" if view.native_verb else "dim"),
        (view.job, "strong" if view.needs_a_person else "plain"),
        (view.requested_by, "dim"),
        (view.outcome, style if view.needs_a_person else "plain"),
        (view.why, "dim"),
    )


def action_title(views: Sequence[ActionDetailView], total: int) -> list[Segment]:
    count = f" {len(views)}" if total <= len(views) else f" the latest {len(views)} of {total:,}"
    runs: list[Segment] = [(" ACTIONS", "key"), (count, "strong")]
    waiting = sum(view.waits_for_approval for view in views)
    going = sum(view.state in ("requested", "sending", "sent") for view in views) - waiting
    unknown = sum(view.state == "unknown" for view in views)
    counts = ((waiting, "to approve", "warn"), (going, "in progress", "run"), (unknown, "unknown", "warn"))
    return [*runs, *((f"  {number} {label}", style) for number, label, style in counts if number)]


def action_lines(view: ActionDetailView, way: Sequence[ActionHistoryEntry], ctx: RenderContext) -> SegmentLines:
    _, label, style = ctx.mark("action", view.state)
    label, style = ("waits for approval", "warn") if view.waits_for_approval else (label, style)
    sends_label = "sent" if view.sent is not None else "sends"
    unknown = "read from its scheduler right before it is sent" if not view.is_over and not view.sends else ""
    by = f"{view.requested_by or 'headway'}{f' (policy: {view.origin})' if view.origin in ('hold', 'trigger') else ''}"
    approved = "pending: by another user" if view.waits_for_approval else ""
    incident = incident_name(view.incident_id) if view.incident_id is not None else ""
    plan = f"plan {view.plan}" if view.plan is not None else ""
    rows: list[tuple[str, str, str]] = [
        ("state", label, style),
        ("message", ctx.localized(view.text), "plain"),
        ("does", ctx.localized(verb_summary(view.verb_text, view.native_summary)), "plain"),
        ("scope", ctx.localized(view.scope), "plain"),
        ("period", ctx.period(view.period) if view.period else "", "plain"),
        *((sends_label, send, "strong") for send in view.sends),
        (sends_label, unknown, "dim"),
        *(("note", render(note, ctx.zoned), "plain") for note in view.notes),
        ("given", parameters_text({name: value for name, value in view.parameters.items() if name != "why"}), "plain"),
        ("requested by", f"{by} from {view.requested_from}" if view.requested_from else by, "plain"),
        ("why", view.why or "no reason given", "plain" if view.why else "dim"),
        ("approved", f"by {view.approvers}" if view.approvers else approved, "plain"),
        ("of", ", ".join(filter(None, (incident, plan))), "plain"),
        ("answer", view.native_ref, "plain"),
        ("key", view.key, "dim"),
    ]
    return [*labelled_lines(rows), [], *_proof_lines(view, ctx), [], *_history_lines(view, way, ctx)]


def _proof_lines(view: ActionDetailView, ctx: RenderContext) -> SegmentLines:
    lines: SegmentLines = [[("PROOF", "key")]]
    if view.proof is not None:
        return [*lines, *labelled_lines(_proof_rows(view.proof, ctx))]
    if view.state == "unknown":
        text = "none: its outcome is unknown; the scheduler is checked until it is known, nothing is sent again"
    elif view.sent is None:
        text = "none: nothing was sent"
    elif view.is_over:
        text = f"no attempt carries its key; {view.text or 'its scheduler answered'}"
    else:
        text = "none yet: its scheduler has not shown the outcome"
    return [*lines, [(text, "warn" if view.state == "unknown" else "dim")]]


def _proof_rows(proof: ActionProofView, ctx: RenderContext) -> list[tuple[str, str, str]]:
    _, label, style = ctx.mark("state", proof.state)
    native = f' "{proof.native_state}"' if proof.native_state and proof.native_state.lower() != proof.state else ""
    times = ctx.clock.hms(proof.started) if proof.started else ""
    if proof.started and proof.ended:
        times += f"–{ctx.clock.hms(proof.ended)}, {format_duration(proof.ended - proof.started)}"
    return [
        ("attempt", f"{proof.number} {label}{native}", style),
        ("exit", "" if proof.exit_code is None else str(proof.exit_code), "plain"),
        ("ran", times, "plain"),
        ("proved", PROVEN_TEXTS.get(proof.evidence, proof.evidence), "plain"),
        ("message", proof.message, "plain"),
    ]


def _history_lines(view: ActionDetailView, way: Sequence[ActionHistoryEntry], ctx: RenderContext) -> SegmentLines:
    lines: SegmentLines = [[("HISTORY", "key"), (f"  {counted(len(way), 'step')} in the audit" if way else "", "dim")]]
    steps = way or _headway_steps(view)
    before = view.requested
    for step in steps:
        later = f"+{format_short(step.at - before)}" if step.at > before else ""
        before = step.at
        runs: list[Segment] = [(f"{ctx.clock.hms(step.at)} ", "plain"), (f"{later:>7} ", "dim"),
                           (step.verb.replace("_", " "), "strong"), (f"  {step.actor}", "dim")]  # fmt: skip
        lines.append([*runs, (f"  {step.text}", "plain")] if step.text else runs)
    return lines


def _headway_steps(view: ActionDetailView) -> list[ActionHistoryEntry]:
    verb = verb_label(view.verb)
    times = ((view.requested, view.requested_by, f"request {verb}"), (view.approved, view.approvers, "approve"),
             (view.sent, "headway", f"send {verb}"), (view.ended, "headway", view.state))  # fmt: skip
    return [ActionHistoryEntry(at, by, "", text, "") for at, by, text in times if at is not None]


ActionAnswer = tuple[ActionDetailView, Sequence[ActionHistoryEntry]]
ActionsAnswer = tuple[Sequence[ActionDetailView], int, Sequence[HoldView]]


def _lines(answer: ActionAnswer, ctx: RenderContext, width: int, height: int) -> SegmentLines:
    view, history = answer
    title: list[Segment] = [("ACTION ", "key"), (f"{verb_label(view.verb)} {view.job}", "strong")]
    return [title, *action_lines(view, history, ctx)]


ACTION_KEYS = ("withdraw", "approve")


def action_commands(screen: HeadwayScreen, selected: Callable[[], ActionDetailView | None]) -> list[ScreenCommand]:
    def why_not_withdraw() -> str:
        action = selected()
        return action.why_not_withdrawn if action else NOT_SELECTED

    def why_not_approve() -> str:
        action = selected()
        if action is None:
            return NOT_SELECTED
        if not action.waits_for_approval:
            by = action.approvers
            return f"approved by {by} already" if by else "it does not wait for approval"
        waits = any(approval.key == action.key for approval in screen.board.approvals)
        return "" if waits else "its plan was abandoned: nothing to approve"

    def withdraw() -> None:
        if (action := selected()) is not None:
            withdraw_action(screen, action)

    def approve() -> None:
        key = action.key if (action := selected()) else ""
        open_approval(screen, next(approval for approval in screen.board.approvals if approval.key == key))

    return [ScreenCommand("withdraw", withdraw, why_not_withdraw), ScreenCommand("approve", approve, why_not_approve)]


def _run_id(action: ActionDetailView) -> int | None:
    return action.proof.run_id if action.proof else action.run_id


def _run_or_job(action: ActionDetailView | None) -> PreviewSource | None:
    """The preview of the run of an action, or of its job."""
    if action is None:
        return None
    run_id = _run_id(action)
    return run_source(run_id) if run_id is not None else job_source(action.job_id)


def run_of(screen: HeadwayScreen, action: ActionDetailView | None) -> RunChoice | str:
    if action is None:
        return NOT_SELECTED
    run_id = _run_id(action)
    if run_id is None:
        return f"{verb_label(action.verb)} is about the job: {screen.key_for('lineage')} shows its downstream jobs"
    return RunChoice(run_id, action.job, action.incident_id)


def withdraw_action(screen: HeadwayScreen, action: ActionDetailView) -> None:
    """Withdraws an action that is unsent, or whose outcome is unknown; asks why first."""
    about = f"{verb_label(action.verb)} {action.job}"
    says = "it was not sent and will not be. Reason (recorded in the audit)"
    if action.state == "unknown":
        says = "it MAY have arrived: requested again, its job may run twice. Check its scheduler first. Reason"

    def send(why: str | None) -> None:
        if why is not None:
            order, done, request = f"withdraw {about}", f"withdrawn: {about}", WithdrawAction(action.key, why)
            send_order(screen, "withdraw", lambda requests: requests.ask(request), order, done, "not withdrawn")

    screen.board.push_screen(AskScreen(f"WITHDRAW {about}", says), send)


class ActionsScreen(HeadwayScreen):
    WHERE = "actions"

    def __init__(self) -> None:
        super().__init__()
        self.total = 0
        self.holds: Sequence[HoldView] = ()
        self.list = ViewList(
            self,
            ACTION_COLUMNS,
            lambda: "no action yet: r on a run or an incident previews one",
            row=lambda view: action_row(view, self.ctx),
            text=lambda view: str(view.search_text),
            key=lambda view: view.key,
            is_problem=lambda view: bool(view.needs_a_person),
        )
        self.preview = PreviewBelow(self, self._preview_source, self.list.grid)
        self.verdict = VerdictLine(self, loaded=self.preview.moved)
        self.run_preview = PreviewBeside(
            self, lambda: runs_source() if self.list.is_empty else _run_or_job(self.selected)
        )
        self.list.painted = self.preview.moved
        self.parts = (self.verdict, self.list, self.preview, self.run_preview)

    def commands(self) -> Sequence[ScreenCommand]:
        return [
            *common_commands(self),
            *action_commands(self, lambda: self.selected),
            ScreenCommand("open", lambda: self.navigation.open_action(self.selected_name()), self.list.why_not_open),
            ScreenCommand("show_holds", lambda: self.navigation.open_screen("holds")),
            ScreenCommand("show_shadow", lambda: self.navigation.go("shadow")),
        ]

    def body(self) -> ComposeResult:
        yield from self.verdict.widgets()
        yield from self.run_preview.beside(self.list.widgets(), self.preview.widgets())

    @property
    def finished_keys(self) -> Sequence[str]:
        is_over = self.list.is_empty or (self.selected is not None and self.selected.is_over)
        return ACTION_KEYS if is_over else ()

    def _preview_source(self) -> PreviewSource | None:
        key = self.selected_name()
        if not key:
            return empty_source(self.verdict) if self.list.is_empty else None
        return PreviewSource(("action", key), lambda reads: reads.actions.history_of(key), _lines)

    def fetch(self) -> None:
        def read(reads: Queries) -> ActionsAnswer:
            return reads.actions.list_details(), reads.actions.count(), reads.holds.list_holds()

        self.ask("actions", read, self._show)
        super().fetch()

    def _show(self, answer: ActionsAnswer) -> None:
        views, self.total, self.holds = answer
        self.list.show_views(views)

    def title_runs(self) -> tuple[Sequence[Segment], Sequence[Segment]]:
        title = action_title(self.list.views, self.total)
        if self.holds:
            until = self.ctx.day(min(hold.until for hold in self.holds))
            title += [(f"  {len(self.holds)} held", "warn"), (f" · the earliest expires {until} (h)", "dim")]
        return title, self.list.title_marks()

    def selected_name(self) -> str:
        return self.selected.key if self.selected else ""

    def selected_job(self) -> str | int:
        return self.selected.job_id if self.selected else ""

    def selected_run(self) -> RunChoice | str:
        return run_of(self, self.selected)


class ActionScreen(HeadwayScreen):
    WHERE = "action"

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key
        self.subject = "action", key
        self.view: ActionDetailView | None = None
        self.history: Sequence[ActionHistoryEntry] = ()
        self.text = DetailText(lambda: action_lines(self.view, self.history, self.ctx) if self.view else [])
        self.run_preview = PreviewBeside(self, lambda: _run_or_job(self.view))
        self.job_preview = PreviewBelow(self, self._job_source, self.text.pane, PREVIEW_FROM)
        self.parts = (self.text, self.run_preview, self.job_preview)

    @property
    def finished_keys(self) -> Sequence[str]:
        return ACTION_KEYS if self.view is not None and self.view.is_over else ()

    def body(self) -> ComposeResult:
        yield from self.run_preview.beside(self.text.widgets(), self.job_preview.widgets())

    def _job_source(self) -> PreviewSource | None:
        """Its job, unless that is beside it."""
        return job_source(self.view.job_id) if self.view and _run_id(self.view) is not None else None

    def commands(self) -> Sequence[ScreenCommand]:
        own = action_commands(self, lambda: self.view)
        return [*common_commands(self), *own, ScreenCommand("open", self.open_run, self.why_no_run)]

    def fetch(self) -> None:
        self.fetch_subject("action", lambda reads: reads.actions.history_of(self.key), self._show)

    def _show(self, answer: ActionAnswer) -> None:
        self.view, self.history = answer
        self.tick()
        self.run_preview.fetch()
        self.job_preview.fetch()

    def title_runs(self) -> tuple[Sequence[Segment], Sequence[Segment]]:
        view = self.view
        if view is None:
            return [(f" ACTION {self.key}", "key"), (f"  {self.waiting}", "warn")], []
        mark, label, style = self.ctx.mark("action", view.state)
        title = [(" ACTION ", "key"), (f"{verb_label(view.verb)} {view.job}", "strong")]
        return [*title, (f"  {mark} ", style), (label, style)], []

    def selected_name(self) -> str:
        return self.view.key if self.view else ""

    def selected_job(self) -> str | int:
        return self.view.job_id if self.view else ""

    def selected_run(self) -> RunChoice | str:
        return run_of(self, self.view)
