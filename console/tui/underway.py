"""A plan that was started, as rows and lines: each step's state as its scheduler tells it."""

from __future__ import annotations

from console.durations import duration_words
from console.model.carried import PlanView, StepView
from console.model.ids import incident_name
from console.model.steps import left_open
from console.model.views import HurtService, IncidentView
from console.tui.cells import Look, counted, heading, line
from console.tui.glyphs import PLAN_STEPS
from console.tui.order import verb_word
from console.tui.steps import Lines, depths, labelled, name_at
from console.tui.widgets.paint import Run
from console.tui.widgets.table import Column, Row

STARTED = (
    Column("#", 2, 1, right=True),
    Column("", 1, 1),
    Column("state", 9, 1),
    Column("action", 7, 3),
    Column("job", 28, 1, flex=3, most=64, middle=True),
    Column("after", 5, 2),
    Column("says", 14, 2, flex=4),
)


def mark_of(step: StepView, look: Look) -> tuple[str, str, str]:
    """(mark, word, style): of the plan's own states, else of the action's."""
    found = PLAN_STEPS.get(step.stands)
    if found is None:
        return look.glyphs.mark("action", step.stands)
    return found.letter if look.glyphs.plain else found.glyph, found.word, found.style


def plan_rows(plan: PlanView, look: Look) -> list[Row]:
    """A row a step, with the scheduler's own word as far as there is one."""
    deep = depths({step.place: step.after for step in plan.steps})
    return [_plan_row(plan, step, deep[step.place], look) for step in plan.steps]


def ended_rows(view: IncidentView, look: Look) -> list[Row]:
    """Below a plan that is done: that its incident is closed, or why it stays open and what plans the rest; and how the
    services stand that it was for."""
    name, left = incident_name(view.row.id), left_open(view)
    if left:
        says = f"{name} STAYS OPEN"
        told = [
            (one, "warn") for one in (*left, f"the rest: {look.key('incident', 'recover')} on the incident plans it")
        ]
        return [heading("left", says), *(line(("left", at), [(f"   {words}", style)])
                for at, (words, style) in enumerate(told))]  # fmt: skip
    closed = f"{name} closed {look.clock.hm(view.row.closed, look.now)}" if view.row.closed is not None else ""
    says = closed or f"{name} closes once what starts by itself has run"
    return [heading("saved", says), *(line(("saved", at), _stands(one, look)) for at, one in enumerate(view.services))]


def _stands(one: HurtService, look: Look) -> list[Run]:
    """ "● Supply plan  due 06:30, expected 05:56  on time"."""
    mark, word, style = look.glyphs.mark("timeliness", one.timeliness)
    expected = f", expected {look.clock.hm(one.expected, look.now, one.zone)}" if one.expected is not None else ""
    due = f"  due {look.clock.hm(one.deadline, look.now, one.zone)}{expected}  "
    return [(f"   {mark} ", style), (one.title or one.name, "strong"), (due, "plain"), (word, style)]


def _plan_row(plan: PlanView, step: StepView, depth: int, look: Look) -> Row:
    mark, word, style = mark_of(step, look)
    return Row(
        step.place,
        (
            (str(step.place), "dim"),
            (mark, style),
            (word, style),
            (verb_word(step.verb), "dim"),
            (name_at(step.job, depth, look), "plain"),
            (",".join(map(str, step.after)), "dim"),
            (_says(plan, step, look), "dim"),
        ),
    )


def _says(plan: PlanView, step: StepView, look: Look) -> str:
    if step.words:
        return step.words
    if step.state == "planned" and (why := plan.waits_for(step)):
        return why
    if step.due is not None and step.state == "planned":
        return f"waits until {look.clock.hms(step.due)}"
    if step.state == "asked" and step.started is not None:
        return f"since {look.clock.hms(step.started)}, {duration_words((look.now - step.started).total_seconds())}"
    return f"~{duration_words(step.expected_s)}" if step.expected_s is not None and step.state == "planned" else ""


def plan_detail(plan: PlanView, step: StepView, look: Look) -> Lines:
    """All that is known of one step."""
    _, word, style = mark_of(step, look)
    found: Lines = [[(f"{step.place} {verb_word(step.verb)}  ", "strong"), (step.job, "plain"), (f"  {word}", style)]]
    times = f"{look.clock.hms(step.started)}–{look.clock.hms(step.ended)}" if step.started and step.ended else ""
    since = look.clock.hms(step.started) if step.started and not step.ended else ""
    return found + labelled(
        [
            ("says", step.words, "plain"),
            ("now", why if (why := plan.waits_for(step)) != step.words else "", "plain"),
            ("period", look.clock.period(step.period_key), "plain"),
            ("at", times, "plain"),
            ("since", since, "plain"),
            ("waits", f"until {look.clock.hms(step.due)}" if step.due else "", "plain"),
            ("after", ", ".join(map(str, step.after)), "plain"),
            ("expected", duration_words(step.expected_s) if step.expected_s is not None else "", "plain"),
            ("under", step.action_key or "", "dim"),
        ]
    )


def plan_line(plan: PlanView, look: Look) -> list[Run]:
    """A plan in one line, for its incident."""
    style = {"running": "run", "stopped": "bad", "paused": "warn"}.get(plan.state, "plain")
    now = next((step for step in plan.steps if step.state in ("asked", "failed")), None)
    runs: list[Run] = [(f" PLAN {plan.id} ", "key"), (plan.state, style)]
    runs.append((f"  {plan.done} of {counted(len(plan.steps), 'step')}", "plain"))
    if now is not None:
        _, word, style = mark_of(now, look)
        runs += [(f"  {now.place} ", "dim"), (word, style), (f" {now.job}", "dim")]
    return runs
