"""A plan as rows and lines, proposed or started: steps in order, branches by their indent; finish times. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from connectors.sdk.states import Verb
from console.control.incidents.verdict.decision import services_in_time
from console.control.incidents.verdict.text import delivery_estimate, saved_text
from console.domain.action import preview_notes
from console.domain.ids import incident_name
from console.domain.incident import AffectedServiceView, IncidentView, open_reason, repair_times
from console.domain.job import Safety
from console.domain.plan import (
    AT_RISK,
    LATE,
    NO_FINISH,
    NOT_BY_PLAN,
    ON_TIME,
    WAIT,
    DraftStep,
    ExcludedRun,
    PlanDraft,
    PlanStepView,
    PlanView,
    SavedService,
    after_text,
    repeated_jobs,
    step_name,
)
from console.domain.plan_change import PLAN_CHANGED, UNCHANGED, PlanChange
from console.domain.probability import format_probability
from console.domain.service import SAFE, Timeliness
from console.domain.step_graph import StepGraph
from console.domain.text import Text, render
from console.timing.durations import format_duration
from console.tui.frame.cells import RenderContext, SegmentLines, counted, heading, joined_segments, labelled_lines
from console.tui.frame.clock_format import format_short
from console.tui.frame.glyphs import PLAN_STEPS
from console.tui.frame.intent import verb_label
from console.tui.views.actions.preview_lines import safety_text
from console.tui.widgets.paint import Segment, fit, fit_middle, length_of
from console.tui.widgets.table import Column, TableRow, cells_row

DEEPEST = 6
DRAFT_COLUMNS = (
    Column("#", 2, 1, right=True),
    Column("action", 7, 1),
    Column("job", 31, 1, flex=4, most=64, middle=True),
    Column("after", 5, 1),
    Column("rerun", 7, 1),
    Column("takes", 6, 2, right=True),
    Column("saves", 15, 2, flex=3, most=90),
)


def name_at(job: str, depth: int, ctx: RenderContext) -> str:
    depth = min(depth, DEEPEST)
    return f"{'  ' * (depth - 1)}{ctx.sign('branch')} {job}" if depth else job


def draft_rows(
    draft: PlanDraft, out: Sequence[DraftStep], ctx: RenderContext, change: PlanChange = UNCHANGED
) -> list[TableRow]:
    deep = StepGraph.of(draft.steps).depths()
    repeated = repeated_jobs((*draft.steps, *out))
    rows = [_draft_row(step, repeated, deep[step.place], ctx, change) for step in draft.steps]
    if change.removed:
        rows.append(heading("removed", f"REMOVED {len(change.removed)}"))
        texts = (f"   removed  {_removed_text(step, draft, ctx)}" for step in change.removed)
        rows += [joined_segments(("removed", number), [(text, "dim")]) for number, text in enumerate(texts)]
    runs = _excluded_runs(draft, out)
    if out or runs:
        rows.append(heading("out", f"EXCLUDED {len(out) + len(runs)}"))
    rows += [_out_row(step, repeated, ctx) for step in out]
    rows += [
        joined_segments(
            ("out", number), [(f"   excluded  {_name(run, repeated, ctx)}  {render(run.why, ctx.zoned)}", "dim")]
        )
        for number, run in enumerate(runs)
    ]
    if draft.notes:
        rows.append(heading("notes", "NOTES"))
        rows += [
            joined_segments(("note", number), [(f"   {render(note, ctx.zoned)}", "warn")])
            for number, note in enumerate(draft.notes)
        ]
    return rows


def _removed_text(step: DraftStep, draft: PlanDraft, ctx: RenderContext) -> str:
    """ "rerun dwh/refresh_revenue", with its period where the plan still has a step of that job."""
    return f"{verb_label(step.verb)} {_name(step, {planned.job for planned in draft.steps}, ctx)}"


def _name(step: DraftStep | PlanStepView | ExcludedRun, repeated: Collection[str], ctx: RenderContext) -> str:
    return render(step_name(step, repeated), ctx.stamp)


def draft_columns(draft: PlanDraft) -> tuple[Column, ...]:
    most = max((len(_after(step)) for step in draft.steps), default=0)
    return tuple(
        column._replace(width=max(column.width, most)) if column.title == "after" else column
        for column in DRAFT_COLUMNS
    )


def _after(step: DraftStep) -> str:
    return ",".join(map(str, step.after)) + (f" +{format_duration(step.wait_s)}" if step.wait_s else "")


def _draft_row(
    step: DraftStep, repeated: Collection[str], depth: int, ctx: RenderContext, change: PlanChange
) -> TableRow:
    mark, label, style = ctx.mark("safety", step.safety)
    refused = bool(step.refusal or step.preview.get("refused"))
    safety: Segment = ("", "dim") if step.verb == WAIT else (f"{mark} {label}", style)
    if step.preview.get("overlap"):
        safety = (f"{mark} runs", "warn")
    if step.preview.get("refused") and not step.after:  # else it is previewed again after those steps
        safety = ("refused", "bad")
    return cells_row(
        step.key,
        (str(step.place), "mark" if step.key in change.steps else "dim"),
        ("wait" if step.verb == WAIT else verb_label(step.verb), "bad" if refused else "strong"),
        (name_at(_name(step, repeated, ctx), depth, ctx), "plain"),
        (_after(step), "dim"),
        safety,
        (_duration_cell(step, ctx), "plain" if step.expected_s is not None else "dim"),
        _saved_text(step.saves),
    )


def _duration_cell(step: DraftStep, ctx: RenderContext) -> str:
    return ctx.sign("dash") if step.expected_s is None else format_duration(step.expected_s)


def _saved_text(saves: Sequence[SavedService]) -> Segment:
    late = [save.shown_title for save in saves if save.saved is False and not save.waits_for]
    unsaved = [save.shown_title for save in saves if save.waits_for]
    saved = [save.shown_title for save in saves if save.saved is not False]
    groups = [("late", late), ("unsaved", unsaved), ("saves" if late or unsaved else "", saved)]
    style = "bad" if late or unsaved else "plain" if all(save.saved for save in saves) else "warn"
    return "; ".join(f"{label} {', '.join(names)}".lstrip() for label, names in groups if names), style


def _out_row(step: DraftStep, repeated: Collection[str], ctx: RenderContext) -> TableRow:
    text = f"   excluded  {verb_label(step.verb)} {_name(step, repeated, ctx)}  Space includes it again"
    return joined_segments(step.key, [(text, "dim")], pick=True)


def draft_title(draft: PlanDraft, out: Sequence[DraftStep], ctx: RenderContext, room: int) -> str:
    """ "4 steps in 3 systems · 2 excluded"; without the systems where these have no room."""
    steps, systems = counted(len(draft.steps), "step"), counted(len({step.system for step in draft.steps}), "system")
    count = len(out) + len(_excluded_runs(draft, out))
    excluded = f" {ctx.sign('dot')} {count} excluded" if count else ""
    return text if len(text := f"{steps} in {systems}{excluded}") <= room else f"{steps}{excluded}"


def _excluded_runs(draft: PlanDraft, out: Sequence[DraftStep]) -> list[ExcludedRun]:
    return [run for run in draft.excluded if run.part not in {step.part for step in out}]


def draft_detail(step: DraftStep, draft: PlanDraft, ctx: RenderContext, change: PlanChange = UNCHANGED) -> SegmentLines:
    shown = step.preview
    verb = "wait for it" if step.verb == WAIT else str(shown.get("verb") or verb_label(step.verb))
    summary = ctx.localized(str(shown.get("summary") or ""))
    lines: SegmentLines = [[(f"{verb}  ", "strong"), (summary or render(step.why, ctx.zoned), "plain")]]
    if what := change.steps.get(step.key):
        lines.append([(f"{what} since the plan was shown", "mark")])
    side = ", ".join(map(str, StepGraph.of(draft.steps).parallel(step.place))) if step in draft.steps else ""
    repeated = repeated_jobs(draft.steps)
    waits = [
        f"step {number}, {_name(upstream, repeated, ctx)}"
        for number in step.after
        for upstream in draft.steps
        if upstream.place == number
    ]
    takes = f"{_duration_cell(step, ctx)} · {step.basis.text}" if step.basis else ""
    period = render(step.period.text, ctx.stamp)
    rows: list[tuple[str, str, str]] = [
        ("why", render(step.why, ctx.zoned) if summary else "", "plain"),
        ("refused", str(step.refusal or shown.get("refused") or ""), "bad"),
        ("problem", step.problem, "warn"),
        ("overlap", str(shown.get("overlap") or ""), "warn"),
        ("safety", step.safety + safety_text(shown, ctx) if shown.get("safety_said") else "", "plain"),
        ("scope", ctx.localized(str(shown.get("scope") or "")) or period, "plain"),
        ("after", "; ".join(waits), "plain"),
        ("parallel", side and f"step {side}", "plain"),
        ("waits", format_duration(step.wait_s) if step.wait_s else "", "plain"),
        ("takes", takes, "plain"),
        *(
            (save.label, f"{save.shown_title}: {render(save.text, ctx.zoned)}", "plain" if save.saved else "warn")
            for save in step.saves
        ),
        *(("sends", ctx.with_local_times(str(call)), "plain") for call in shown.get("native_calls") or ()),
        *(("note", render(note, ctx.zoned), "plain") for note in preview_notes(shown)),
    ]
    if not shown and step.verb not in (WAIT, Verb.RELEASE) and not step.problem and not step.cannot:
        rows.insert(1, ("preview", "read from its scheduler right before it is sent", "dim"))
    return lines + labelled_lines(rows)


def summary_lines(draft: PlanDraft, ctx: RenderContext) -> SegmentLines:
    """The plan in five lines: steps and end, saved and lost services, excluded jobs."""
    verbs = Counter("wait" if step.verb == WAIT else verb_label(step.verb) for step in draft.steps)
    order = dict.fromkeys((Verb.HOLD.value, *(verb for verb in verbs if verb != "wait"), "wait"))
    steps = ", ".join(counted(verbs[verb], verb) for verb in order if verb in verbs)
    systems = counted(len({step.system for step in draft.steps}), "system")
    ends = [day.expected for day in draft.days if day.expected is not None]
    done = f" {ctx.sign('dot')} done about {ctx.hm(max(ends))} if started now" if ends else ""
    lines: SegmentLines = [[(steps, "strong"), (f" in {systems}{done}", "plain")]]
    certain = [_promise(day, ctx) for day in draft.days if day.saved]
    lines += [[("saves ", "ok"), (", ".join(certain), "strong")]] if certain else []
    lines += [
        [("may save ", "warn"), (_promise(day, ctx), "strong"), (f": {render(day.text, ctx.zoned)}", "plain")]
        for day in draft.days
        if day.saved is None
    ]
    lines += [
        [(f"does not save {day.shown_title}: ", "bad"), (render(day.text, ctx.zoned), "plain")] for day in draft.unsaved
    ]
    planned = {step.part for step in draft.steps}
    names: dict[Text, list[str]] = {}
    for run in draft.excluded:
        if run.part not in planned:
            names.setdefault(run.why, []).append(f"{run.job.partition('/')[2] or run.job} {run.period.name}".rstrip())
    excluded = "; ".join(f"{', '.join(jobs)}: {render(why, ctx.zoned)}" for why, jobs in names.items())
    return [*lines, [("excluded ", "dim"), (excluded, "dim")]] if excluded else lines


def _promise(day: SavedService, ctx: RenderContext) -> str:
    return f"{day.shown_title} {ctx.due(day.deadline)}"


def changed_lines(before: PlanDraft, after: PlanDraft, ctx: RenderContext) -> SegmentLines:
    """Each step that is new, changed or removed since the plan was shown."""
    change, repeated = PlanChange.between(before, after), repeated_jobs(after.steps)
    lines: SegmentLines = []
    for step in after.steps:
        if what := change.steps.get(step.key):
            lines.append(
                [
                    (f"{what:<8}", "mark"),
                    (f" {step.place} {verb_label(step.verb)} {_name(step, repeated, ctx)}", "strong"),
                ]
            )
    lines += [[(f"{'removed':<8}", "mark"), (f" {_removed_text(step, after, ctx)}", "dim")] for step in change.removed]
    if not lines:
        every_step = ctx.key("preview", "details")
        lines.append([(f"Order or expected times changed; {every_step} shows every step", "plain")])
    return [[(PLAN_CHANGED, "warn")], *lines, []]


def start_lines(draft: PlanDraft, ctx: RenderContext) -> SegmentLines:
    """All that the user confirms: each step in its order, what is left out and why, and services that are not saved."""
    lines: SegmentLines = []
    repeated = repeated_jobs(draft.steps)
    for step in draft.steps:
        lines += _start_lines(step, repeated, ctx)
    for title, rows in (
        (f"EXCLUDED {len(draft.excluded)}", [(_name(run, repeated, ctx), run.why, "dim") for run in draft.excluded]),
        (
            f"NOT SAVED {len(draft.unsaved)}",
            [(entry.shown_title, entry.text, "warn") for entry in draft.unsaved],
        ),
        ("NOTES", [("", note, "warn") for note in draft.notes]),
    ):
        if rows:
            lines += [
                [],
                [(title, "key")],
                *([(f"  {name}  ", "plain"), (render(why, ctx.zoned), style)] for name, why, style in rows),
            ]
    return lines


def _start_lines(step: DraftStep, repeated: Collection[str], ctx: RenderContext) -> SegmentLines:
    verb = "wait for" if step.verb == WAIT else str(step.preview.get("verb") or verb_label(step.verb))
    mark, label, style = ctx.mark("safety", step.safety)
    after = f"  {after_text(step.after)}" if step.after else ""
    wait = f"  waits {format_duration(step.wait_s)} first" if step.wait_s else ""
    safety = f"  {mark} rerun: {label}{safety_text(step.preview, ctx)}" if step.verb != WAIT else ""
    name: Segment = (_name(step, repeated, ctx), "plain")
    first: list[Segment] = [(f"{step.place:>2}  ", "dim"), (f"{verb} ", "strong"), name, (safety, style)]
    further = [(str(step.preview.get("overlap") or ""), "warn"), (step.problem, "warn")]
    return [
        [*first, (after, "dim"), (wait, "warn")],
        *([(f"    {text}", how)] for text, how in further if text),
        *([(f"    {label:<6}", "dim"), (text, "plain")] for label, text in _sends(step, ctx)),
    ]


def _sends(step: DraftStep, ctx: RenderContext) -> list[tuple[str, str]]:
    if step.verb == WAIT:
        return []
    summary, calls = ctx.localized(str(step.preview.get("summary") or "")), step.preview.get("native_calls") or ()
    if not summary and not calls:
        return [("sends", "read from its scheduler right before it is sent")]
    parts = [part for call in calls for part in str(call).split("\n")]
    return [("does", summary)] * bool(summary) + [("sends" if not at else "", part) for at, part in enumerate(parts)]


def unsafe_steps(draft: PlanDraft) -> list[DraftStep]:
    """Steps that need more than one Enter: not declared safe, or possibly overlapping a run."""
    unsafe = (step for step in draft.steps if step.safety != Safety.SAFE or step.preview.get("overlap"))
    return [step for step in unsafe if step.verb != WAIT]


def why_not_start(draft: PlanDraft, ctx: RenderContext) -> str:
    if not draft.steps:
        return "no step is left to send"
    for step in draft.steps:
        if refused := step.refusal_now:
            return f"step {step.place}: leave it out ({ctx.key('plan', 'leave_out')}): {refused}"
    if all(step.verb == WAIT for step in draft.steps):
        return f"no step to send now: it waits for {', '.join(step.job for step in draft.steps)}"
    return ""


GAP = 2
NAME_WIDTH = 12
MAX_ROWS, TALL_ROWS = 4, 10
"""Services visible at once, and on a terminal of `TALL` lines; others are scrolled to."""
TALL = 36
_FINISH_MARKS = {
    ON_TIME: Timeliness.ON_TIME,
    AT_RISK: Timeliness.AT_RISK,
    LATE: Timeliness.WILL_MISS,
    NOT_BY_PLAN: Timeliness.BREACHED,
    NO_FINISH: Timeliness.NO_ESTIMATE,
}


def finish_lines(days: Sequence[SavedService], ctx: RenderContext, width: int) -> list[list[Segment]]:
    """A head and a row for each service: its deadline, its finish in the plan and the risk that it is late. Empty
    without a service."""
    if not days:
        return []
    due = ["due", *(ctx.due(day.deadline) for day in days)]
    names = ["FINISH, RISK", *(day.shown_title for day in days)]
    cells = [[("in this plan", "key")], *(_finish_cell(day, ctx) for day in days)]
    due_width = max(map(len, due))
    room = width - 1 - 2 * GAP - due_width - max(map(length_of, cells))
    name_width = min(max(map(len, names)), max(NAME_WIDTH, room))
    return [
        [
            (f" {fit(fit_middle(name, name_width), name_width)}", "plain" if at else "key"),
            (f"{' ' * GAP}{fit(due[at], due_width)}{' ' * GAP}", "dim"),
            *cells[at],
        ]
        for at, name in enumerate(names)
    ]


def _finish_cell(day: SavedService, ctx: RenderContext) -> list[Segment]:
    mark, _, style = ctx.mark("timeliness", _FINISH_MARKS[day.finish])
    if day.expected is None or day.late is None:
        return [(f"{mark} ", style), (day.finish, style)]
    return [(f"{mark} ", style), (ctx.hm(day.expected), "plain"), (f", {format_probability(day.late)}", style)]


PROGRESS_FROM = 100
"""Columns of a screen with room for the bar of the progress and for steps below each other."""
PROGRESS_COLUMNS = (
    Column("#", 2, 1, right=True),
    Column("", 1, 1),
    Column("state", 10, 1),
    Column("action", 7, 2),
    Column("job", 40, 1, flex=3, most=64, middle=True),
    Column("after", 5, 3),
    Column("message", 23, 2, flex=4),
)


def progress_columns(plan: PlanView, ctx: RenderContext, width: int) -> tuple[Column, ...]:
    """The column of the jobs is as wide as its longest name: the rest is for what the steps say."""
    deep = _progress_depths(plan, width)
    repeated = repeated_jobs(plan.steps)
    names = (name_at(_name(step, repeated, ctx), deep[step.place], ctx) for step in plan.steps)
    longest = max((length_of([(name, "")]) for name in names), default=0)
    return tuple(
        column._replace(width=min(column.width, longest), most=min(column.most, longest))
        if column.title == "job"
        else column
        for column in PROGRESS_COLUMNS
    )


def step_mark(step: PlanStepView, ctx: RenderContext) -> tuple[str, str, str]:
    return ctx.mark("plan step" if step.status in PLAN_STEPS else "action", step.status)


def _progress_depths(plan: PlanView, width: int) -> dict[int, int]:
    """Of each step; a narrow screen has no room for more than one."""
    deepest = DEEPEST if width >= PROGRESS_FROM else 1
    deep = StepGraph.of(plan.steps).depths()
    return {place: min(depth, deepest) for place, depth in deep.items()}


def plan_rows(plan: PlanView, ctx: RenderContext, width: int) -> list[TableRow]:
    deep, repeated = _progress_depths(plan, width), repeated_jobs(plan.steps)
    return [_plan_row(plan, step, _name(step, repeated, ctx), deep[step.place], ctx) for step in plan.steps]


PROGRESS_CELLS = 10


def progress_segments(plan: PlanView, incident: IncidentView | None, ctx: RenderContext, width: int) -> list[Segment]:
    """ "▓▓▓░░░░░░░ 3 of 10 steps, services done about 06:16"; the end only while it runs."""
    full = round(PROGRESS_CELLS * plan.done / max(1, len(plan.steps)))
    bar: list[Segment] = [(ctx.sign("full") * full, "ok"), (ctx.sign("empty") * (PROGRESS_CELLS - full), "dim")]
    segments: list[Segment] = [(f"  {plan.done} of {counted(len(plan.steps), 'step')}", "plain")]
    if incident is not None and (done := delivery_estimate(plan, incident, ctx.hm)):
        segments.append((f", {done if width >= PROGRESS_FROM else done.removeprefix('services ')}", "plain"))
    return [*(bar if width >= PROGRESS_FROM else []), *segments, (" ", "plain")]


def plan_recap(plan: PlanView, incident: IncidentView | None, ctx: RenderContext) -> list[str]:
    """Of an ended plan: "failed 03:12, repaired 03:26, 2 of 2 services delivered on time", "4 of 4 steps verified in
    24m, 6 not needed" and "by mara at 03:13:20"; the first only with an incident."""
    took = f" in {format_duration(plan.ended - plan.requested)}" if plan.ended is not None else ""
    needless = sum(step.is_needless for step in plan.steps)
    steps = f"{plan.done - needless} of {counted(len(plan.steps) - needless, 'step')} verified{took}"
    steps += f", {needless} not needed" if needless else ""
    parts = [steps, f"by {plan.requester} at {ctx.clock.hms(plan.requested)}"]
    return [result, *parts] if incident is not None and (result := recap_text(incident, ctx)) else parts


def _promises_text(view: IncidentView) -> str:
    """ "2 of 2 services on time", "delivered on time" once all of them are delivered; of those without an estimate "1
    service without estimate". Empty without a service."""
    if not view.services:
        return ""
    unknown = sum(service.timeliness == Timeliness.NO_ESTIMATE for service in view.services)
    unknown_text = f"{counted(unknown, 'service')} without estimate" if unknown else ""
    if unknown == len(view.services):
        return unknown_text
    on_time = sum(service.timeliness in SAFE for service in view.services)
    how = "delivered on time" if all(service.delivered is not None for service in view.services) else "on time"
    text = f"{on_time} of {counted(len(view.services) - unknown, 'service')} {how}"
    return f"{text}, {unknown_text}" if unknown else text


def saved_services(plan: PlanView, view: IncidentView | None, ctx: RenderContext) -> str:
    """ "saves Supply plan 06:30, may save Daily revenue 07:30": those that the plan in progress saves, by deadline."""
    if view is None:
        return ""
    saved, uncertain = (
        [f"{service.title or service.name} {ctx.due(service.deadline)}" for service in services]
        for services in services_in_time(plan, view)
    )
    return ", ".join(filter(None, [saved_text(saved), saved_text(uncertain, verb="may save")]))


def recap_text(view: IncidentView, ctx: RenderContext) -> str:
    """ "failed 03:12, repaired 03:37, 2 of 2 services delivered on time"; while it is open only its services."""
    return ", ".join(filter(None, [repair_times(view, ctx.hm), _promises_text(view)]))


def ended_rows(view: IncidentView, ctx: RenderContext) -> list[TableRow]:
    """Below a completed plan: its incident is closed, or why it stays open and how to continue; and the state of its
    services."""
    name, reasons = incident_name(view.row.id), open_reason(view)
    if reasons:
        texts = (
            *(render(reason, ctx.zoned) for reason in reasons),
            f"{ctx.key('incident', 'recover')} on the incident plans the remaining steps",
        )
        lines = (joined_segments(("left", at), [(f"   {text}", "warn")]) for at, text in enumerate(texts))
        return [heading("left", f"{name} STAYS OPEN"), *lines]
    closed = view.row.closed
    says = f"{name} closed {ctx.hm(closed)}" if closed else f"{name} closes once what starts by itself has run"
    return [
        heading("saved", says),
        *(joined_segments(("saved", at), _service_line(reason, ctx)) for at, reason in enumerate(view.services)),
    ]


def _service_line(service: AffectedServiceView, ctx: RenderContext) -> list[Segment]:
    """ "● Supply plan  due 06:30, delivered 05:56  met", while it is open "expected 05:56"."""
    mark, label, style = ctx.mark("timeliness", service.timeliness)
    at = service.delivered or service.expected
    case = f"{service.repair_case}:" if service.repair_case is not None else "expected"
    how = "delivered" if service.delivered is not None else case
    finish = f", {how} {ctx.hm(at)}" if at is not None else ""
    due = f"  due {ctx.due(service.deadline)}{finish}  "
    return [(f"   {mark} ", style), (service.title or service.name, "strong"), (due, "plain"), (label, style)]


def _plan_row(plan: PlanView, step: PlanStepView, name: str, depth: int, ctx: RenderContext) -> TableRow:
    mark, label, style = step_mark(step, ctx)
    return cells_row(
        step.place,
        (str(step.place), "dim"),
        (mark, style),
        (label, style),
        (verb_label(step.verb), "dim"),
        (name_at(name, depth, ctx), "plain"),
        (",".join(map(str, step.after)), "dim"),
        (_step_note(plan, step, ctx), "dim"),
    )


def _step_note(plan: PlanView, step: PlanStepView, ctx: RenderContext) -> str:
    """Its error or its times, else why nothing was sent or what it waits for; the detail has the whole text."""
    usual = f"~{format_duration(step.expected_s)}" if step.expected_s else ""
    if step.run_error:
        return step.run_error
    if step.is_needless:
        return ctx.localized(step.text)
    if step.state == "verified" and step.started is not None and step.ended is not None:
        return "–".join(dict.fromkeys((ctx.hm(step.started), ctx.hm(step.ended))))
    if step.state == "requested" and step.started is not None:
        return f"{format_short(ctx.now - step.started)}{f' of {usual}' if usual else ''}"
    if step.text:
        return ctx.localized(step.text)
    if step.state == "planned" and (why := plan.waits_for(step)):
        return why
    if step.due is not None and step.state == "planned":
        return f"{ctx.day(step.due)} has passed" if _is_overdue(plan, step, ctx) else f"at {ctx.day(step.due)}"
    return usual if step.state == "planned" else ""


def _is_overdue(plan: PlanView, step: PlanStepView, ctx: RenderContext) -> bool:
    """True if the plan would send it now, but does not run."""
    return plan.state != "running" and step.due is not None and step.due <= ctx.now


def plan_detail(plan: PlanView, step: PlanStepView, ctx: RenderContext) -> SegmentLines:
    _, label, style = step_mark(step, ctx)
    lines: SegmentLines = [
        [(f"{step.place} {verb_label(step.verb)}  ", "strong"), (step.job, "plain"), (f"  {label}", style)]
    ]
    times = f"{ctx.clock.hms(step.started)}–{ctx.clock.hms(step.ended)}" if step.started and step.ended else ""
    since = ctx.clock.hms(step.started) if step.started and not step.ended else ""
    return lines + labelled_lines(
        [
            ("error", step.error, "bad"),
            ("message", ctx.localized(step.text), "plain"),
            ("now", why if (why := plan.waits_for(step)) != step.text else "", "plain"),
            ("period", render(step.period.text, ctx.stamp), "plain"),
            ("at", times, "plain"),
            ("since", since, "plain"),
            ("waits", f"until {ctx.hm(step.due)}" if step.due and not _is_overdue(plan, step, ctx) else "", "plain"),
            ("after", ", ".join(map(str, step.after)), "plain"),
            ("expected", format_duration(step.expected_s) if step.expected_s is not None else "", "plain"),
            ("key", step.action_key or "", "dim"),
        ]
    )


def plan_line(plan: PlanView, ctx: RenderContext) -> list[Segment]:
    style = {"running": "run", "stopped": "bad", "paused": "warn"}.get(plan.state, "plain")
    now = next((step for step in plan.steps if step.state in ("requested", "failed")), None)
    runs: list[Segment] = [(f" PLAN {plan.id} ", "key"), (plan.status, style)]
    runs.append((f"  {plan.done} of {counted(len(plan.steps), 'step')}", "plain"))
    if now is not None:
        _, label, style = step_mark(now, ctx)
        runs += [(f"  {now.place} ", "dim"), (label, style), (f" {now.job}", "dim")]
    return runs
