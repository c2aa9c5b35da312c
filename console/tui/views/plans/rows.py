"""A plan as rows and lines, proposed or started: steps in order, branches by their indent, each explained; finish
times by alternative. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from connectors.sdk.states import Verb
from console.domain.ids import incident_name
from console.domain.incident import AffectedServiceView, IncidentView, open_reason
from console.domain.job import Safety
from console.domain.plan import HOLD_VERBS, WAIT, DraftStep, LeftOutRun, PlanDraft, PlanStepView, PlanView, SavedService
from console.domain.plan_editing import (
    ASSERTED,
    AT_RISK,
    ESTIMATE_SIGN,
    IF_GOOD,
    LATE,
    NEVER,
    ON_TIME,
    PARTIAL,
    PlanOutlook,
    VariantFinish,
)
from console.domain.service import Timeliness
from console.timing.durations import format_duration
from console.tui.frame.cells import RenderContext, SegmentLines, counted, heading, joined_segments, labelled_lines
from console.tui.frame.glyphs import PLAN_STEPS
from console.tui.frame.intent import verb_label
from console.tui.views.actions.preview_lines import safety_text
from console.tui.widgets.paint import Segment, fit, fit_middle, length_of
from console.tui.widgets.table import Column, TableRow

StepKey = tuple[int, str]
"""A step by its job and period: it keeps it however it is moved."""
DEEPEST = 6
"""Levels that are still indented further."""
DRAFT_COLUMNS = (
    Column("#", 2, 1, right=True),
    Column("action", 7, 1),
    Column("job", 31, 1, flex=4, most=64, middle=True),
    Column("after", 5, 1),
    Column("rerun", 7, 1),
    Column("takes", 6, 2, right=True),
    Column("saves", 15, 2, flex=3, most=90),
)


def step_key(step: DraftStep) -> StepKey:
    return step.job_id, step.verb if step.verb in HOLD_VERBS else step.period_key


def depths(after: Mapping[int, Sequence[int]]) -> dict[int, int]:
    """Place -> how many steps must be over before it, one after the other. What waits for none is at 0."""
    found: dict[int, int] = {}
    for place in sorted(after):
        found[place] = max((found[each] + 1 for each in after[place] if each in found), default=0)
    return found


def parallel_steps(step: int, after: Mapping[int, Sequence[int]]) -> list[int]:
    """Places that wait neither for this step nor it for them: they run in parallel with it."""
    above = {place: _above(place, after) for place in after}
    return [place for place in after if place != step and place not in above[step] and step not in above[place]]


def _above(place: int, after: Mapping[int, Sequence[int]]) -> set[int]:
    places: set[int] = set()
    left = list(after[place])
    while left:
        each = left.pop()
        if each not in places and each in after:
            places.add(each)
            left += after[each]
    return places


def name_at(job: str, depth: int, look: RenderContext) -> str:
    """A job's name, indented by how many steps must be over before it."""
    depth = min(depth, DEEPEST)
    return f"{'  ' * (depth - 1)}{look.glyphs.sign('branch')} {job}" if depth else job


def draft_rows(draft: PlanDraft, out: Sequence[DraftStep], look: RenderContext) -> list[TableRow]:
    """Its steps, then what a person left out, what is no step and why, and notes."""
    deep = depths({step.place: step.after for step in draft.steps})
    rows = [_draft_row(step, deep[step.place], look) for step in draft.steps]
    others = [one for one in draft.left_out if one.job not in {step.job for step in out}]
    if out or others:
        rows.append(heading("out", f"LEFT OUT {len(out) + len(others)}"))
    rows += [_out_row(step, look) for step in out]
    rows += [joined_segments(("out", number), _left_out_title(one)) for number, one in enumerate(others)]
    if draft.notes:
        rows.append(heading("notes", "NOTES"))
        rows += [joined_segments(("note", number), [(f"   {note}", "warn")]) for number, note in enumerate(draft.notes)]
    return rows


def draft_columns(draft: PlanDraft) -> tuple[Column, ...]:
    """With room for the waits that a person, or a hold, gave."""
    most = max((len(_after(step)) for step in draft.steps), default=0)
    return tuple(
        each._replace(width=max(each.width, most)) if each.title == "after" else each for each in DRAFT_COLUMNS
    )


def _after(step: DraftStep) -> str:
    return ",".join(map(str, step.after)) + (f" +{format_duration(step.wait_s)}" if step.wait_s else "")


def _draft_row(step: DraftStep, depth: int, look: RenderContext) -> TableRow:
    mark, word, style = look.glyphs.mark("safety", step.safety)
    refused = bool(step.refusal or step.preview.get("refused"))
    safety: Segment = ("", "dim") if step.verb == WAIT else (f"{mark} {word}", style)
    if step.preview.get("overlap"):
        safety = (f"{mark} runs", "warn")
    if step.preview.get("refused") and not step.after:  # else it is asked again once those before it are good
        safety = ("refused", "bad")
    return TableRow(
        step_key(step),
        (
            (str(step.place), "dim"),
            ("wait" if step.verb == WAIT else verb_label(step.verb), "bad" if refused else "strong"),
            (name_at(step.job, depth, look), "plain"),
            (_after(step), "dim"),
            safety,
            (_duration_cell(step, look), "plain" if step.expected_s is not None else "dim"),
            _saved_text(step.saves),
        ),
    )


def _duration_cell(step: DraftStep, look: RenderContext) -> str:
    return look.glyphs.sign("dash") if step.expected_s is None else format_duration(step.expected_s)


def _saved_text(saves: Sequence[SavedService]) -> Segment:
    """The services that it saves; first those that it cannot save any more, or not as the plan stands."""
    late = [save.service for save in saves if save.saved is False and not save.waits_for]
    unsaved = [save.service for save in saves if save.waits_for]
    saved = [save.service for save in saves if save.saved is not False]
    told = [("late", late), ("unsaved", unsaved), ("saves" if late or unsaved else "", saved)]
    style = "bad" if late or unsaved else "plain" if all(save.saved for save in saves) else "warn"
    return "; ".join(f"{word} {', '.join(names)}".lstrip() for word, names in told if names), style


def _out_row(step: DraftStep, look: RenderContext) -> TableRow:
    runs: list[Segment] = [(f" {look.glyphs.mark('state', 'cancelled')[0]} {verb_label(step.verb)} {step.job}", "dim")]
    return joined_segments(step_key(step), [*runs, ("  by hand; Space includes it again", "dim")], pick=True)


def _left_out_title(left_out_run: LeftOutRun) -> list[Segment]:
    return [(f"   {left_out_run.job}", "dim"), (f"  {left_out_run.why}", "dim")]


def draft_title(draft: PlanDraft) -> str:
    """ "4 steps in 3 systems"."""
    systems = len({step.system for step in draft.steps})
    return f"{counted(len(draft.steps), 'step')} in {counted(systems, 'system')}"


def draft_detail(step: DraftStep, draft: PlanDraft, look: RenderContext) -> SegmentLines:
    """One step in its scheduler's own words."""
    shown = step.preview
    after = {step.place: step.after for step in draft.steps}
    verb = "wait for it" if step.verb == WAIT else str(shown.get("verb") or verb_label(step.verb))
    lines: SegmentLines = [[(f"{verb}  ", "strong"), (str(shown.get("summary") or step.why), "plain")]]
    side = ", ".join(map(str, parallel_steps(step.place, after))) if step.place in after else ""
    waits = [f"{place} {one.job}" for place in step.after for one in draft.steps if one.place == place]
    takes = f"{_duration_cell(step, look)} · {step.source}" if step.source else ""
    rows: list[tuple[str, str, str]] = [
        ("why", step.why if shown.get("summary") else "", "plain"),
        ("refused", str(step.refusal or shown.get("refused") or ""), "bad"),
        ("trouble", step.trouble, "warn"),
        ("overlap", str(shown.get("overlap") or ""), "warn"),
        ("safety", step.safety + safety_text(shown, look) if shown.get("safety_said") else "", "plain"),
        ("way", step.way, "warn"),
        ("scope", str(shown.get("scope") or step.period_key), "plain"),
        ("after", "; ".join(waits), "plain"),
        ("beside", side and f"{side}: they run in parallel", "plain"),
        ("waits", format_duration(step.wait_s) if step.wait_s else "", "plain"),
        ("takes", takes, "plain"),
        *(_save(save) for save in step.saves),
        *(("sends", str(call), "plain") for call in shown.get("native_calls") or ()),
        *(("note", str(note), "plain") for note in shown.get("notes") or ()),
        ("or", ", ".join(step.alternatives), "dim"),
    ]
    if not shown and step.verb not in (WAIT, Verb.RELEASE) and not step.trouble and not step.cannot:
        rows.insert(1, ("preview", "read from its scheduler right before it is sent", "dim"))
    return lines + labelled_lines(rows)


def _save(service: SavedService) -> tuple[str, str, str]:
    return service.label, f"{service.service}: {service.words}", "plain" if service.saved else "warn"


def start_lines(draft: PlanDraft, look: RenderContext) -> SegmentLines:
    """All that a person says yes to: each step in its order, and how it differs from what was proposed; what is not
    done, and why; who is not saved."""
    lines: SegmentLines = []
    for step in draft.steps:
        lines += _start_lines(step, look)
    for title, rows in (
        (f"LEFT OUT {len(draft.left_out)}", [(one.job, one.why, "dim") for one in draft.left_out]),
        (f"NOT SAVED {len(draft.unsaved)}", [(one.service, one.words, "warn") for one in draft.unsaved]),
        ("NOTES", [("", note, "warn") for note in draft.notes]),
    ):
        if rows:
            lines += [[], [(title, "key")], *([(f"  {name}  ", "plain"), (why, style)] for name, why, style in rows)]
    return lines


def _start_lines(step: DraftStep, look: RenderContext) -> SegmentLines:
    verb = "wait for" if step.verb == WAIT else str(step.preview.get("verb") or verb_label(step.verb))
    mark, word, style = look.glyphs.mark("safety", step.safety)
    after = f"  after {', '.join(map(str, step.after))}" if step.after else ""
    wait = f"  waits {format_duration(step.wait_s)} first" if step.wait_s else ""
    safety = f"  {mark} {word}{safety_text(step.preview, look)}" if step.verb != WAIT else ""
    first: list[Segment] = [(f"{step.place:>2}  ", "dim"), (f"{verb} ", "strong"), (step.job, "plain"), (safety, style)]
    further = [(step.way, "warn"), (str(step.preview.get("overlap") or ""), "warn"), (step.trouble, "warn")]
    return [
        [*first, (after, "dim"), (wait, "warn")],
        *([(f"    {text}", how)] for text, how in further if text),
        *([(f"    {word:<6}", "dim"), (text, "plain")] for word, text in _sends(step)),
    ]


def _sends(step: DraftStep) -> list[tuple[str, str]]:
    """What goes to its scheduler, in its own words; that nobody knows yet where its preview is still to come."""
    if step.verb == WAIT:
        return []
    words, calls = str(step.preview.get("summary") or ""), step.preview.get("native_calls") or ()
    if not words and not calls:
        return [("sends", "read from its scheduler right before it is sent")]
    parts = [part for call in calls for part in str(call).split("\n")]
    return [("does", words)] * bool(words) + [("sends" if not at else "", part) for at, part in enumerate(parts)]


def unsafe_steps(draft: PlanDraft) -> list[DraftStep]:
    """Steps that one Enter does not send: not declared safe, or they may overlap with what runs."""
    return [
        step
        for step in draft.steps
        if step.verb != WAIT and (step.safety != Safety.SAFE or step.preview.get("overlap"))
    ]


def why_not_start(draft: PlanDraft, look: RenderContext, may_widen: bool = False) -> str:
    """Why the plan cannot be started as it stands; empty when it can. `may_widen`: more can be taken in."""
    if not draft.steps:
        wider = (
            f"; {look.key('plan', 'everything')} includes steps that no affected service needs"
            if may_widen and draft.left_out
            else ""
        )
        return f"no step is left to send{wider}"
    for step in draft.steps:
        refused = step.refusal or (step.preview.get("refused") if not step.after else "")
        if refused:
            out, other = look.key("plan", "leave_out"), look.key("plan", "alternative")
            return f"step {step.place}: leave it out ({out}), or an alternative ({other}): {refused}"
    if all(step.verb == WAIT for step in draft.steps):
        return f"no step to send now: it waits for {', '.join(step.job for step in draft.steps)}"
    return ""


def shown_order(draft: PlanDraft) -> dict[str, Any]:
    """The draft as a record, without what only connectors understand."""
    data = draft.as_json()
    for step in data["steps"]:
        step["preview"] = {key: value for key, value in step["preview"].items() if key != "plan"}
    return data


GAP = 2
NAME_WIDTH = 14
"""Cells of a service's name where there is little room; it gets more where there is."""
MOST_ROWS, TALL_ROWS = 4, 10
"""Services that are seen at once, and on a terminal of `TALL` lines; the others are scrolled to."""
TALL = 36
_FINISH_MARKS = {
    ON_TIME: Timeliness.ON_TIME,
    LATE: Timeliness.WILL_MISS,
    AT_RISK: Timeliness.AT_RISK,
    IF_GOOD: Timeliness.AT_RISK,
    PARTIAL: Timeliness.AT_RISK,
    ASSERTED: Timeliness.AT_RISK,
    NEVER: Timeliness.BREACHED,
}


def finish_lines(found: PlanOutlook, look: RenderContext, width: int) -> list[list[Segment]]:
    """A head and a row for each service; of the ways as many as fit, the most important ones first."""
    if not found.ways:
        return []
    columns = [_column(found, number, look) for number in range(len(found.ways))]
    due = ["due", *(look.clock.hm(_deadline_cell(day), look.now, day.zone) for day in found.days)]
    names = [f"FINISH ({ESTIMATE_SIGN} sum)" if found.is_mixed else "FINISH", *(day.service for day in found.days)]
    left = width - 1 - NAME_WIDTH - GAP - max(map(len, due))
    shown: list[list[list[Segment]]] = []
    for column in columns:
        wide = GAP + _name_cells(column)
        if wide > left:
            break
        shown.append(column)
        left -= wide
    name = min(max(map(len, names)), NAME_WIDTH + max(0, left))
    return [_finish_line(at, name, names, due, shown) for at in range(len(names))]


def _finish_line(
    at: int, name: int, names: Sequence[str], due: Sequence[str], shown: Sequence[Sequence[Sequence[Segment]]]
) -> list[Segment]:
    segments: list[Segment] = [
        (f" {fit(fit_middle(names[at], name), name)}", "plain" if at else "key"),
        (" " * GAP + fit(due[at], max(map(len, due))), "dim"),
    ]
    for column in shown:
        segments += [(" " * GAP, "plain"), *column[at], (" " * (_name_cells(column) - length_of(column[at])), "plain")]
    return segments


def _name_cells(column: Sequence[Sequence[Segment]]) -> int:
    return max(length_of(cell) for cell in column)


def _column(found: PlanOutlook, number: int, look: RenderContext) -> list[list[Segment]]:
    way = found.ways[number]
    head: list[Segment] = [
        (f"{look.glyphs.sign('marked')} {way.label}", "key") if way.is_present else (way.label, "dim")
    ]
    cells = zip(way.finishes, found.days, strict=True)
    return [head, *(_cell(found, one, day, look) for one, day in cells)]


def _cell(found: PlanOutlook, one: VariantFinish, day: SavedService, look: RenderContext) -> list[Segment]:
    mark, _, style = look.glyphs.mark("timeliness", _FINISH_MARKS.get(one.status, Timeliness.NO_ESTIMATE))
    at = f"{found.sign(one)}{look.clock.hm(one.at, look.now, day.zone)}" if one.at is not None else ""
    gap = " " if at and one.text.startswith(" ") else ""
    return [(f"{mark} ", style), (f"{at}{gap}", "plain"), (one.text.lstrip(), style)]


def _deadline_cell(day: SavedService) -> datetime:
    return datetime.fromisoformat(day.deadline)


PROGRESS_COLUMNS = (
    Column("#", 2, 1, right=True),
    Column("", 1, 1),
    Column("state", 9, 1),
    Column("action", 7, 3),
    Column("job", 28, 1, flex=3, most=64, middle=True),
    Column("after", 5, 2),
    Column("says", 14, 2, flex=4),
)


def step_mark(step: PlanStepView, look: RenderContext) -> tuple[str, str, str]:
    """(mark, word, style): of the plan's own states, else of the action's."""
    found = PLAN_STEPS.get(step.status)
    if found is None:
        return look.glyphs.mark("action", step.status)
    return found.letter if look.glyphs.plain else found.glyph, found.word, found.style


def plan_rows(plan: PlanView, look: RenderContext) -> list[TableRow]:
    """A row a step, with the scheduler's own word as far as there is one."""
    deep = depths({step.place: step.after for step in plan.steps})
    return [_plan_row(plan, step, deep[step.place], look) for step in plan.steps]


def ended_rows(view: IncidentView, look: RenderContext) -> list[TableRow]:
    """Below a plan that is done: that its incident is closed, or why it stays open and what plans the rest; and how the
    services stand that it was for."""
    name, left = incident_name(view.row.id), open_reason(view)
    if left:
        says = f"{name} STAYS OPEN"
        told = [
            (one, "warn") for one in (*left, f"the rest: {look.key('incident', 'recover')} on the incident plans it")
        ]
        return [heading("left", says), *(joined_segments(("left", at), [(f"   {words}", style)])
                for at, (words, style) in enumerate(told))]  # fmt: skip
    closed = f"{name} closed {look.clock.hm(view.row.closed, look.now)}" if view.row.closed is not None else ""
    says = closed or f"{name} closes once what starts by itself has run"
    return [
        heading("saved", says),
        *(joined_segments(("saved", at), _step_state(one, look)) for at, one in enumerate(view.services)),
    ]


def _step_state(service: AffectedServiceView, look: RenderContext) -> list[Segment]:
    """ "● Supply plan  due 06:30, expected 05:56  on time"."""
    mark, word, style = look.glyphs.mark("timeliness", service.timeliness)
    expected = (
        f", expected {look.clock.hm(service.expected, look.now, service.zone)}" if service.expected is not None else ""
    )
    due = f"  due {look.clock.hm(service.deadline, look.now, service.zone)}{expected}  "
    return [(f"   {mark} ", style), (service.title or service.name, "strong"), (due, "plain"), (word, style)]


def _plan_row(plan: PlanView, step: PlanStepView, depth: int, look: RenderContext) -> TableRow:
    mark, word, style = step_mark(step, look)
    return TableRow(
        step.place,
        (
            (str(step.place), "dim"),
            (mark, style),
            (word, style),
            (verb_label(step.verb), "dim"),
            (name_at(step.job, depth, look), "plain"),
            (",".join(map(str, step.after)), "dim"),
            (_step_note(plan, step, look), "dim"),
        ),
    )


def _step_note(plan: PlanView, step: PlanStepView, look: RenderContext) -> str:
    if step.words:
        return step.words
    if step.state == "planned" and (why := plan.waits_for(step)):
        return why
    if step.due is not None and step.state == "planned":
        return f"waits until {look.clock.hms(step.due)}"
    if step.state == "asked" and step.started is not None:
        return f"since {look.clock.hms(step.started)}, {format_duration((look.now - step.started).total_seconds())}"
    return f"~{format_duration(step.expected_s)}" if step.expected_s is not None and step.state == "planned" else ""


def plan_detail(plan: PlanView, step: PlanStepView, look: RenderContext) -> SegmentLines:
    """All that is known of one step."""
    _, word, style = step_mark(step, look)
    lines: SegmentLines = [
        [(f"{step.place} {verb_label(step.verb)}  ", "strong"), (step.job, "plain"), (f"  {word}", style)]
    ]
    times = f"{look.clock.hms(step.started)}–{look.clock.hms(step.ended)}" if step.started and step.ended else ""
    since = look.clock.hms(step.started) if step.started and not step.ended else ""
    return lines + labelled_lines(
        [
            ("says", step.words, "plain"),
            ("now", why if (why := plan.waits_for(step)) != step.words else "", "plain"),
            ("period", look.clock.period(step.period_key), "plain"),
            ("at", times, "plain"),
            ("since", since, "plain"),
            ("waits", f"until {look.clock.hms(step.due)}" if step.due else "", "plain"),
            ("after", ", ".join(map(str, step.after)), "plain"),
            ("expected", format_duration(step.expected_s) if step.expected_s is not None else "", "plain"),
            ("under", step.action_key or "", "dim"),
        ]
    )


def plan_line(plan: PlanView, look: RenderContext) -> list[Segment]:
    """A plan in one line, for its incident."""
    style = {"running": "run", "stopped": "bad", "paused": "warn"}.get(plan.state, "plain")
    now = next((step for step in plan.steps if step.state in ("asked", "failed")), None)
    runs: list[Segment] = [(f" PLAN {plan.id} ", "key"), (plan.state, style)]
    runs.append((f"  {plan.done} of {counted(len(plan.steps), 'step')}", "plain"))
    if now is not None:
        _, word, style = step_mark(now, look)
        runs += [(f"  {now.place} ", "dim"), (word, style), (f" {now.job}", "dim")]
    return runs
