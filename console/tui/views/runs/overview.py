"""The lines above a job's runs and above a run's log: state, source, changes, attempts, duration. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from connectors.sdk.states import RunState, is_open
from console.domain.finding import FindingView, rule_text
from console.domain.forecast import JobForecastView
from console.domain.job import CardView, JobMonth, JobRow, JobView
from console.domain.report import BARS, PLAIN_BARS, bar_text
from console.domain.run import AttemptView, RunRow, RunView, proof_text
from console.domain.text import render
from console.timing.durations import format_duration, rank_text
from console.tui.frame.cells import RenderContext, SegmentLines, counted, duration_text, flowing_groups, state_cells
from console.tui.views.runs import forecast
from console.tui.widgets.paint import Segment, length_of


def status_segments(view: JobView | RunView, ctx: RenderContext) -> list[list[Segment]]:
    row = view.row
    proves: list[Segment] = [(proof_text(view.proof), "dim")]
    if not row.state:
        return [[("state ", "dim"), ("no run yet", "plain")], proves]
    mark, _, label = state_cells(row, ctx)
    timely, timeliness, style = ctx.mark("timeliness", row.timeliness)
    sign, evidence, how = ctx.mark("evidence", row.evidence)
    known = f"{sign} {evidence}".strip()
    of_night: list[Segment] = [(f" {_night(row, ctx)}", "dim")] if isinstance(view, JobView) else []
    return [
        [("state ", "dim"), mark, (" ", "plain"), label, *of_night],
        [("timeliness ", "dim"), (f"{timely} {timeliness}", style)],
        [("evidence ", "dim"), (known, "plain" if how == "dim" else how)],
        proves,
    ]


def _night(row: JobRow | RunRow, ctx: RenderContext) -> str:
    """When its last run ended or started, with its day, so that it is not read as tonight's; else its business date."""
    at = row.ended or row.started
    return ctx.day(at) if at is not None else row.business_date


def source_segments(state: str, reference: str, address: str, whose: str = "") -> list[list[Segment]]:
    """The source's own state, reference and page; `whose` they are if that is not plain. A reference in JSON is left to
    the record (`i`)."""
    shown_reference = "" if reference.startswith(("{", "[")) else reference
    fields = [(f"{whose}native ", f'"{state}"' if state else ""), ("ref ", shown_reference), ("web ", address)]
    return [[(name, "dim"), (text, "plain")] for name, text in fields if text]


def expected_text(view: JobView, ctx: RenderContext) -> list[list[Segment]]:
    row, usual = view.row, "no estimate yet"
    if view.p50_s is not None:
        history = counted(view.history_runs, "run")
        usual = f"usually {_seconds(view.p50_s)}, 90 % within {_seconds(view.p90_s)} ({history})"
    elif view.expected_s is not None:
        usual = f"declared {_seconds(view.expected_s)}"
    when = [ctx.day(at) for at in view.coming or ((row.next,) if row.next is not None else ())]
    return [
        [(ctx.clock.schedule(row.schedule, ctx.now) or "no schedule", "plain")],
        *([[(view.schedule_fault, "warn")]] if view.schedule_fault else []),
        [("next ", "dim"), (", ".join(when) if when else "not known", "plain")],
        [(usual, "dim")],
    ]


def _seconds(seconds: float | None) -> str:
    return "–" if seconds is None else format_duration(seconds)


def duration_plot(view: JobView | RunView, ctx: RenderContext) -> tuple[list[Segment], list[Segment]]:
    """A bar for each run with a duration, oldest first; the run itself, or the job's newest, highlighted, and its rank
    as text."""
    timed = [(row, row.lasted_s(ctx.now)) for row in reversed(view.runs)]
    known = [(row, seconds) for row, seconds in timed if seconds is not None]
    if not known:
        return [(" no run of it has a duration yet", "dim")], []
    lit = view.row.id if isinstance(view, RunView) else known[-1][0].id
    longest = max([1.0, *(seconds for _, seconds in known)])
    bars = PLAIN_BARS if ctx.plain else BARS
    runs: list[Segment] = [(" ", "plain")]
    for row, seconds in known:
        style = "key" if row.id == lit else "bad" if row.is_red else "dim"
        runs.append((bars[min(len(bars) - 1, int(seconds / longest * len(bars)))], style))
    other_seconds = [seconds for row, seconds in known if row.id != lit and not row.is_red]
    own = next((pair for pair in known if pair[0].id == lit), None)
    if own is not None:
        return runs, _place(own, other_seconds, isinstance(view, JobView))
    successful = f", {counted(len(other_seconds), 'successful run')}{_between(other_seconds)}"
    return runs, [("  this run has no duration", "key"), (successful, "dim")]


def months_plot(months: Sequence[JobMonth], ctx: RenderContext) -> list[Segment]:
    """A bar for each month before the runs that are kept, with its typical duration, and what they come to as text."""
    seconds = [month.p50_s for month in months if month.p50_s is not None]
    bars = bar_text([month.p50_s for month in months], max([1.0, *seconds]), PLAIN_BARS if ctx.plain else BARS)
    runs, good = sum(month.runs for month in months), sum(month.succeeded for month in months)
    first, last = months[0].month, months[-1].month
    span = first if first == last else f"{first} to {last}"
    share = f", {100 * good / runs:.0f} % succeeded" if runs else ""
    usual = f", usually {_range(seconds)}" if seconds else ""
    return [(f" {bars}  {span}: {counted(runs, 'run')}{share}{usual}", "dim")]


def _between(seconds: list[float]) -> str:
    return f" ({_range(seconds)})" if seconds else ""


def _range(seconds: list[float]) -> str:
    shortest, longest = (format_duration(value) for value in (min(seconds), max(seconds)))
    return f"{shortest} to {longest}"


def _place(own: tuple[RunRow, float], other_seconds: list[float], newest: bool) -> list[Segment]:
    """ "last 14m02s, longer than 92 % of 59 runs (9m to 16m)"; of a run itself "took 14m02s, …"."""
    row, seconds = own
    took = format_duration(seconds)
    goes_on = "so far " if row.ended is None else ""
    segments: list[Segment] = [(f"  {'last' if newest else 'took'} {goes_on}{took}", "key")]
    if not other_seconds:
        return [*segments, (", no other successful run to compare with", "dim")]
    return [*segments, (f", {rank_text(seconds, other_seconds)}{_between(other_seconds)}", "dim")]


ATTEMPTS_SHOWN = 8


def job_overview(
    view: JobView, ctx: RenderContext, width: int, foreseen: Sequence[JobForecastView] = ()
) -> list[SegmentLines]:
    status = [*status_segments(view, ctx), *source_segments(view.row.native_state, "", view.native_url)]
    titles = {day.name: day.title for day in foreseen}
    groups = [expected_text(view, ctx), _changed(view, ctx), _around(view, titles), _card_lines(view, ctx)]
    return [
        flowing_groups(status, width),
        *([forecast.forecast_lines(foreseen, ctx, width)] if foreseen else []),
        *(flowing_groups(group, width) for group in groups if group),
        _plot_lines(view, ctx, width),
        *([flowing_groups([months_plot(view.months, ctx)], width)] if view.months else []),
    ]


def _card_lines(view: JobView, ctx: RenderContext) -> list[list[Segment]]:
    lines: list[list[Segment]] = []
    for card_field in sorted(view.card, key=lambda entry: entry.field != "rerun"):  # an address may exceed the line
        value, style = card_field.value or ctx.sign("dash"), "plain"
        if card_field.field == "rerun":
            mark, label, style = ctx.mark("safety", card_field.value)
            value = f"{mark} {label}"
        lines.append([(f"{card_field.field} ", "dim"), (value, style), (card_source(card_field, ctx), "dim")])
    return lines


def card_source(card_field: CardView, ctx: RenderContext) -> str:
    return f", set by {card_field.said_by} {ctx.day(card_field.said_at)}" if card_field.said_by else ""


def run_overview(view: RunView, attempt: AttemptView | None, ctx: RenderContext, width: int) -> list[SegmentLines]:
    row = view.row
    reference, address = (attempt.native_ref, attempt.native_url) if attempt is not None else ("", "")
    state = attempt.native_state if attempt is not None else row.native_state
    is_older = attempt is not None and attempt.id != view.attempts[-1].id
    whose = f"attempt {attempt.number}: " if attempt is not None and is_older else ""
    groups = [
        [*status_segments(view, ctx), *source_segments(state, reference, address, whose)],
        _attempt_lines(view, ctx),
        _attempts(view, attempt, ctx),
    ]
    return [*(flowing_groups(group, width) for group in groups if group), _plot_lines(view, ctx, width)]


def fit_lines(blocks: Iterable[SegmentLines], room: int) -> SegmentLines:
    """The first line of each block, and as many further ones of the upper blocks as fit."""
    blocks = list(blocks)
    spare = room - len(blocks)
    shown: SegmentLines = []
    for lines in blocks:
        extra = max(0, min(len(lines) - 1, spare))
        shown += lines[: 1 + extra]
        spare -= extra
    return shown[: max(1, room)]


def _plot_lines(view: JobView | RunView, ctx: RenderContext, width: int) -> SegmentLines:
    bars, place = duration_plot(view, ctx)
    return [[*bars, *place]] if length_of([*bars, *place]) <= width or not place else [bars, place]


def _changed(view: JobView, ctx: RenderContext) -> list[list[Segment]]:
    if view.unwatched_reason:
        return [[(view.unwatched_reason, "warn")]]
    if view.drift:
        text = f"drift: {view.drift[0].text or view.drift[0].what}"
        return [[(text, "warn")], [(f"{ctx.key('job', 'drift')} accepts it", "dim")]]
    if view.findings:
        return [[(_finding_text(view.findings[0], ctx), "warn")]]
    return [[(view.definition, "dim")]]


def _around(view: JobView, titles: Mapping[str, str]) -> list[list[Segment]]:
    above = ", ".join(view.waits or [name for name, _ in view.upstreams]) or "none known"
    below = ", ".join(name for name, _ in view.downstreams) or "none known"
    services = ", ".join(titles.get(name, name) for name in view.services)
    fields = [("upstream ", above), ("downstream ", below), ("services ", services)]
    return [[(label, "dim"), (names, "plain")] for label, names in fields if names]


def _attempt_lines(view: RunView, ctx: RenderContext) -> list[list[Segment]]:
    row = view.row
    segments: list[Segment] = [(row.period_text(ctx.stamp, ctx.period), "plain")]
    if row.started:
        segments.append((_ran_text(row, ctx), "plain"))
    if row.exit_code is not None:
        segments.append((f"exit {row.exit_code}", "bad" if row.exit_code else "ok"))
    if report := row.report(ctx.zoned):
        segments.append((report, "warn" if _is_red(row.state) else "dim"))
    if row.stale_read:
        segments.append(("read its upstream too early: its data is stale", "warn"))
    elif row.partial_input:
        segments.append((row.partial_input, "warn"))
    segments += [(_finding_text(finding, ctx), "dim" if finding.closed else "warn") for finding in view.findings]
    return [[segment] for segment in segments]


def _attempts(view: RunView, attempt: AttemptView | None, ctx: RenderContext) -> list[list[Segment]]:
    if not view.attempts:
        return [[("no attempt yet", "dim")]]
    left_out = len(view.attempts) - ATTEMPTS_SHOWN
    groups: list[list[Segment]] = [
        [("attempts", "dim"), (f" the last {ATTEMPTS_SHOWN}" if left_out > 0 else "", "dim")]
    ]
    for shown in view.attempts[-ATTEMPTS_SHOWN:]:
        mark, label, style = ctx.mark("state", shown.state)
        ours = " ours" if shown.action_key else ""
        when = ctx.hm(shown.started)
        lit = attempt is not None and shown.id == attempt.id and len(view.attempts) > 1
        groups.append([(f"{shown.number} {mark} {when} {label}{ours}", "mark" if lit else style)])
    last = view.actions[-1] if view.actions else None
    if last is not None and last.state != "verified":
        mark, label, style = ctx.mark("action", last.state)
        groups.append([(f"rerun: {mark} {label}", style)])
    return groups


def _ran_text(row: RunRow, ctx: RenderContext) -> str:
    start = ctx.clock.hms(row.started)
    if row.ended is not None:
        return f"{start}–{ctx.clock.hms(row.ended)} ({duration_text(row, ctx)})"
    is_running = row.state != RunState.UNKNOWN and is_open(row.state)
    return f"since {start} ({duration_text(row, ctx)})" if is_running else f"{start}, its end is not known"


def _finding_text(finding: FindingView, ctx: RenderContext) -> str:
    return f"{rule_text(finding.rule)}: {render(finding.with_source, ctx.zoned)}"


def _is_red(state: str) -> bool:
    try:
        return RunState(state).is_red
    except ValueError:
        return True
