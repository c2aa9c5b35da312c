"""What stands above a job's runs and above a run's log: state, source and safety, changes, attempts, and its
duration among earlier ones.

Pure; a view in, lines out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from connectors.sdk.states import RunState, is_open
from console.domain.finding import FindingView
from console.domain.forecast import JobForecastView
from console.domain.job import JobView
from console.domain.run import AttemptView, RunRow, RunView
from console.timing.durations import fraction_below
from console.tui.frame.cells import RenderContext, SegmentLines, counted, duration_text, flowing_groups, state_cells
from console.tui.frame.clock_format import format_span
from console.tui.views.runs import forecast
from console.tui.widgets.paint import Segment, length_of

BARS = "▁▂▃▄▅▆▇█"
PLAIN_BARS = "12345678"


PROVES = {"start": "that it started", "exit": "its end and exit code", "full": "its end, exit code and output"}
"""What a job's source can prove about a run, by `connectors.sdk.states.ProofLevel`."""


def status_segments(view: JobView | RunView, look: RenderContext) -> list[list[Segment]]:
    """State, timeliness and evidence, each for itself; then what its source can prove at all."""
    row = view.row
    proves: list[Segment] = [(f"proves {PROVES.get(view.proof, view.proof)}", "dim")]
    if not row.state:
        return [[("state ", "dim"), ("no run yet", "plain")], proves]
    mark, _, word = state_cells(row, look)
    timely, timeliness, style = look.glyphs.mark("timeliness", row.timeliness)
    sign, evidence, how = look.glyphs.mark("evidence", row.evidence)
    known = f"{sign} {evidence}".strip()
    return [
        [("state ", "dim"), mark, (" ", "plain"), word],
        [("timeliness ", "dim"), (f"{timely} {timeliness}", style)],
        [("evidence ", "dim"), (known, "plain" if how == "dim" else how)],
        proves,
    ]


def source_segments(word: str, reference: str, address: str, whose: str = "") -> list[list[Segment]]:
    """Its source's own word for how it stands, its own name for it, and the page that its source has of it; `whose`
    they are where that is not plain. A name that is a record for programs is left to the record (`i`)."""
    said = "" if reference.startswith(("{", "[")) else reference
    found = [(f"{whose}native ", f'"{word}"' if word else ""), ("ref ", said), ("web ", address)]
    return [[(name, "dim"), (text, "plain")] for name, text in found if text]


def expected_text(view: JobView, look: RenderContext) -> list[list[Segment]]:
    """Its schedule in words, when it is expected next, and how long it takes."""
    row, usual = view.row, "no estimate yet"
    if view.p50_s is not None:
        history = counted(view.history_runs, "run")
        usual = f"usually {_seconds(view.p50_s)}, nine of ten under {_seconds(view.p90_s)} ({history})"
    elif view.expected_s is not None:
        usual = f"declared {_seconds(view.expected_s)}"
    when = [look.clock.day(at, look.now) for at in view.coming or ((row.next,) if row.next is not None else ())]
    return [
        [(row.schedule or "no schedule", "plain")],
        [("next ", "dim"), (", ".join(when) if when else "not known", "plain")],
        [(usual, "dim")],
    ]


def _seconds(seconds: float | None) -> str:
    return "–" if seconds is None else format_span(timedelta(seconds=seconds))


def duration_plot(view: JobView | RunView, look: RenderContext) -> tuple[list[Segment], list[Segment]]:
    """A bar for each run that took a time, oldest first; the run itself, or the job's newest, lit, and its place in
    words."""
    timed = [(row, row.lasted_s(look.now)) for row in reversed(view.runs)]
    known = [(row, seconds) for row, seconds in timed if seconds is not None]
    if not known:
        return [(" no run of it has a duration yet", "dim")], []
    lit = view.row.id if isinstance(view, RunView) else known[-1][0].id
    longest = max([1.0, *(seconds for _, seconds in known)])
    bars = PLAIN_BARS if look.glyphs.plain else BARS
    runs: list[Segment] = [(" ", "plain")]
    for row, seconds in known:
        style = "key" if row.id == lit else "bad" if row.is_red else "dim"
        runs.append((bars[min(len(bars) - 1, int(seconds / longest * len(bars)))], style))
    others = [seconds for row, seconds in known if row.id != lit and not row.is_red]
    own = next((one for one in known if one[0].id == lit), None)
    return runs, _unranked(others) if own is None else _place(own, others, look, isinstance(view, JobView))


def _unranked(others: list[float]) -> list[Segment]:
    """Of a run that has no duration: what the others took."""
    return [("  this run has no duration", "key"), (f", {counted(len(others), 'good run')}{_between(others)}", "dim")]


def _between(seconds: list[float]) -> str:
    """ " (9m to 16m)"; empty for none."""
    if not seconds:
        return ""
    shortest, longest = (format_span(timedelta(seconds=round(each))) for each in (min(seconds), max(seconds)))
    return f" ({shortest} to {longest})"


def _place(own: tuple[RunRow, float], others: list[float], look: RenderContext, newest: bool) -> list[Segment]:
    """ "last 14m02s, longer than 92 % of 59 runs (9m to 16m)"; of a run itself "took 14m02s, …"."""
    row, seconds = own
    took = format_span(timedelta(seconds=round(seconds)))
    goes_on = "so far " if row.ended is None else ""
    segments: list[Segment] = [(f"  {'last' if newest else 'took'} {goes_on}{took}", "key")]
    if not others:
        return [*segments, (", the first that has a duration", "dim")]
    return [*segments, (f", {_among(seconds, others)}{_between(others)}", "dim")]


def _among(seconds: float, others: list[float]) -> str:
    """ "longer than 92 % of 59 good runs", "shorter than all 57 good runs"."""
    many = counted(len(others), "good run")
    every = f"all {many}" if len(others) > 1 else "the one good run"
    if seconds < min(others) or seconds > max(others):
        return f"{'shorter' if seconds < min(others) else 'longer'} than {every}"
    below = fraction_below(seconds, others)
    return f"longer than {round(100 * below)} % of {many}" if below else f"no longer than any of {many}"


ATTEMPTS_SHOWN = 8


def job_overview(
    view: JobView,
    card: Sequence[Sequence[Segment]],
    look: RenderContext,
    width: int,
    foreseen: Sequence[JobForecastView] = (),
) -> list[SegmentLines]:
    """Blocks of lines, in the order that they are shown in; `card`: what people say of it; `foreseen`: what the
    forecasts of the services that wait for it leave to it."""
    stands = [*status_segments(view, look), *source_segments(view.row.native_state, "", view.native_url)]
    groups = [expected_text(view, look), _changed(view, look), _around(view), card]
    return [
        flowing_groups(stands, width),
        *([forecast.forecast_lines(foreseen, look, width)] if foreseen else []),
        *(flowing_groups(group, width) for group in groups if group),
        _plot_lines(view, look, width),
    ]


def run_overview(view: RunView, attempt: AttemptView | None, look: RenderContext, width: int) -> list[SegmentLines]:
    """The same of a run whose `attempt` is read."""
    row = view.row
    reference, address = (attempt.native_ref, attempt.native_url) if attempt is not None else ("", "")
    word = attempt.native_state if attempt is not None else row.native_state
    is_older = attempt is not None and attempt.id != view.attempts[-1].id
    whose = f"attempt {attempt.number}: " if attempt is not None and is_older else ""
    groups = [
        [*status_segments(view, look), *source_segments(word, reference, address, whose)],
        _attempt_lines(view, look),
        _attempts(view, attempt, look),
    ]
    return [*(flowing_groups(group, width) for group in groups if group), _plot_lines(view, look, width)]


def fit_lines(blocks: Iterable[SegmentLines], room: int) -> SegmentLines:
    """All lines where there is room for them, else the first of each block, and further ones of the upper blocks, as
    many as there are lines."""
    blocks = list(blocks)
    spare = room - len(blocks)
    found: SegmentLines = []
    for lines in blocks:
        more = max(0, min(len(lines) - 1, spare))
        found += lines[: 1 + more]
        spare -= more
    return found[: max(1, room)]


def _plot_lines(view: JobView | RunView, look: RenderContext, width: int) -> SegmentLines:
    bars, place = duration_plot(view, look)
    return [[*bars, *place]] if length_of([*bars, *place]) <= width or not place else [bars, place]


def _changed(view: JobView, look: RenderContext) -> list[list[Segment]]:
    """Its definition, or what is remarkable about it."""
    if view.left_out:
        return [[(view.left_out, "warn")]]
    if view.drift:
        text = f"drift: {view.drift[0].words or view.drift[0].what}"
        return [[(text, "warn")], [(f"{look.key('job', 'drift')} accepts it", "dim")]]
    if view.findings:
        return [[(_failed_checks(view.findings[0]), "warn")]]
    return [[(view.definition, "dim")]]


def _around(view: JobView) -> list[list[Segment]]:
    above = ", ".join(view.waits or [name for name, _ in view.upstreams]) or "none known"
    below = ", ".join(name for name, _ in view.downstreams) or "none known"
    found = [("upstream ", above), ("downstream ", below), ("services ", ", ".join(view.services))]
    return [[(word, "dim"), (names, "plain")] for word, names in found if names]


def _attempt_lines(view: RunView, look: RenderContext) -> list[list[Segment]]:
    """Its period, when it ran, how it ended and what was remarkable."""
    row = view.row
    period = look.clock.full(row.period, view.zone) if row.period else look.clock.period(row.period_key)
    segments: list[Segment] = [(period, "plain")]
    if row.started:
        segments.append((_ran_text(row, look, view.zone), "plain"))
    if row.exit_code is not None:
        segments.append((f"exit {row.exit_code}", "bad" if row.exit_code else "ok"))
    if row.message or row.reason:
        segments.append((row.message or row.reason, "warn" if _is_red(row.state) else "dim"))
    if row.stale_read:
        segments.append(("read its upstream too early: its data is stale", "warn"))
    elif row.partial_input:
        segments.append((row.partial_input, "warn"))
    segments += [(_failed_checks(finding), "dim" if finding.closed else "warn") for finding in view.findings]
    return [[one] for one in segments]


def _attempts(view: RunView, attempt: AttemptView | None, look: RenderContext) -> list[list[Segment]]:
    """Every attempt, the one whose log is shown lit; then how far our last action on it has come."""
    if not view.attempts:
        return [[("no attempt yet", "dim")]]
    left_out = len(view.attempts) - ATTEMPTS_SHOWN
    groups: list[list[Segment]] = [
        [("attempts", "dim"), (f" the last {ATTEMPTS_SHOWN}" if left_out > 0 else "", "dim")]
    ]
    for one in view.attempts[-ATTEMPTS_SHOWN:]:
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


def _ran_text(row: RunRow, look: RenderContext, zone: str) -> str:
    """From when until when; "since" while it goes on; that its end is not known."""
    start = look.clock.hms(row.started, zone)
    if row.ended is not None:
        return f"{start}–{look.clock.hms(row.ended, zone)} ({duration_text(row, look)})"
    return f"since {start} ({duration_text(row, look)})" if _is_running(row.state) else f"{start}, its end is not known"


def _is_running(state: str) -> bool:
    return state != RunState.UNKNOWN and is_open(state)


def _failed_checks(finding: FindingView) -> str:
    return f"{finding.rule.replace('_', ' ')}: {finding.with_source}"


def _is_red(state: str) -> bool:
    try:
        return RunState(state).is_red
    except ValueError:
        return True
