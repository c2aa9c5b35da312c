"""What stands above a job's runs and above a run's log: its three axes apart, its source's own words, its place among
its runs. Pure; a view in, lines out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from connectors.words import State, is_open
from console.model.views import AttemptView, FindingView, JobView, RunRow, RunView
from console.model.views.ahead import JobAheadView
from console.tui import ahead, durations
from console.tui.cells import Look, flowing_groups, took
from console.tui.widgets.paint import Run, length_of

Lines = list[list[Run]]
TRIES_SHOWN = 8


def of_job(
    view: JobView, card: Sequence[Sequence[Run]], look: Look, width: int, foreseen: Sequence[JobAheadView] = ()
) -> list[Lines]:
    """Blocks of lines, in the order that they are shown in; `card`: what people say of it; `foreseen`: what the
    forecasts of the services that wait for it leave to it."""
    stands = [*durations.stands(view, look), *durations.native(view.row.native_state, "", view.native_url)]
    groups = [durations.expected(view, look), _changed(view, look), _around(view), card]
    return [
        flowing_groups(stands, width),
        *([ahead.lines(foreseen, look, width)] if foreseen else []),
        *(flowing_groups(one, width) for one in groups if one),
        _plot(view, look, width),
    ]


def of_run(view: RunView, attempt: AttemptView | None, look: Look, width: int) -> list[Lines]:
    """The same of a run whose `attempt` is read."""
    row = view.row
    reference, address = (attempt.native_ref, attempt.native_url) if attempt is not None else ("", "")
    word = attempt.native_state if attempt is not None else row.native_state
    is_older = attempt is not None and attempt.id != view.attempts[-1].id
    whose = f"attempt {attempt.number}: " if attempt is not None and is_older else ""
    groups = [
        [*durations.stands(view, look), *durations.native(word, reference, address, whose)],
        _happened(view, look),
        _tries(view, attempt, look),
    ]
    return [*(flowing_groups(one, width) for one in groups if one), _plot(view, look, width)]


def fitting(blocks: Iterable[Lines], room: int) -> Lines:
    """All lines where there is room for them, else the first of each block, and further ones of the upper blocks, as
    many as there are lines."""
    blocks = list(blocks)
    spare = room - len(blocks)
    found: Lines = []
    for lines in blocks:
        more = max(0, min(len(lines) - 1, spare))
        found += lines[: 1 + more]
        spare -= more
    return found[: max(1, room)]


def _plot(view: JobView | RunView, look: Look, width: int) -> Lines:
    bars, place = durations.plot(view, look)
    return [[*bars, *place]] if length_of([*bars, *place]) <= width or not place else [bars, place]


def _changed(view: JobView, look: Look) -> list[list[Run]]:
    """Its definition, or what is remarkable about it."""
    if view.left_out:
        return [[(view.left_out, "warn")]]
    if view.drift:
        words = f"drift: {view.drift[0].words or view.drift[0].what}"
        return [[(words, "warn")], [(f"{look.key('job', 'drift')} accepts it", "dim")]]
    if view.findings:
        return [[(_found(view.findings[0]), "warn")]]
    return [[(view.definition, "dim")]]


def _around(view: JobView) -> list[list[Run]]:
    above = ", ".join(view.waits or [name for name, _ in view.upstreams]) or "none known"
    below = ", ".join(name for name, _ in view.downstreams) or "none known"
    found = [("upstream ", above), ("downstream ", below), ("services ", ", ".join(view.services))]
    return [[(word, "dim"), (names, "plain")] for word, names in found if names]


def _happened(view: RunView, look: Look) -> list[list[Run]]:
    """Its period, when it ran, how it ended and what was remarkable."""
    row = view.row
    period = look.clock.full(row.period, view.zone) if row.period else look.clock.period(row.period_key)
    said: list[Run] = [(period, "plain")]
    if row.started:
        said.append((_ran(row, look, view.zone), "plain"))
    if row.exit_code is not None:
        said.append((f"exit {row.exit_code}", "bad" if row.exit_code else "ok"))
    if row.message or row.reason:
        said.append((row.message or row.reason, "warn" if _is_red(row.state) else "dim"))
    if row.stale_read:
        said.append(("read its upstream too early: its data is stale", "warn"))
    elif row.partial_input:
        said.append((row.partial_input, "warn"))
    said += [(_found(one), "dim" if one.closed else "warn") for one in view.findings]
    return [[one] for one in said]


def _tries(view: RunView, attempt: AttemptView | None, look: Look) -> list[list[Run]]:
    """Every attempt, the one whose log is shown lit; then how far our last action on it has come."""
    if not view.attempts:
        return [[("no attempt yet", "dim")]]
    left_out = len(view.attempts) - TRIES_SHOWN
    groups: list[list[Run]] = [[("attempts", "dim"), (f" the last {TRIES_SHOWN}" if left_out > 0 else "", "dim")]]
    for one in view.attempts[-TRIES_SHOWN:]:
        mark, word, style = look.glyphs.mark("state", one.state)
        ours = " ours" if one.action_key else ""
        when = look.clock.hm(one.started, look.now, view.zone)
        lit = attempt is not None and one.id == attempt.id and len(view.attempts) > 1
        groups.append([(f"{one.number} {mark} {when} {word}{ours}", "mark" if lit else style)])
    last = view.actions[-1] if view.actions else None
    if last is not None and last.state != "verified":
        mark, word, style = look.glyphs.mark("action", last.state)
        groups.append([(f"rerun: {mark} {word}", style)])
    return groups


def _ran(row: RunRow, look: Look, zone: str) -> str:
    """From when until when; "since" while it goes on; that its end is not known."""
    start = look.clock.hms(row.started, zone)
    if row.ended is not None:
        return f"{start}–{look.clock.hms(row.ended, zone)} ({took(row, look)})"
    return f"since {start} ({took(row, look)})" if _goes_on(row.state) else f"{start}, its end is not known"


def _goes_on(state: str) -> bool:
    return state != State.UNKNOWN and is_open(state)


def _found(one: FindingView) -> str:
    return f"{one.rule.replace('_', ' ')}: {one.with_source}"


def _is_red(state: str) -> bool:
    try:
        return State(state).is_red
    except ValueError:
        return True
