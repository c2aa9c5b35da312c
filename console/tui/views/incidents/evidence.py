"""Evidence: the facts that an incident's verdicts rest on, each with its rung, its source and its age. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from connectors.sdk.states import ProofLevel, RunEvidence
from console.domain.forecast import JobForecastView
from console.domain.incident import AffectedServiceView, IncidentView, MemberView
from console.domain.service import format_late, format_percent, strip_probability
from console.text.cleaning import clean_line
from console.timing.durations import format_duration
from console.tui.frame.cells import RenderContext, SegmentLines
from console.tui.frame.clock_format import format_span
from console.tui.views.runs.forecast import slack_style, slack_text
from console.tui.widgets.paint import Segment

HANG = 4
_RUNGS = {
    RunEvidence.NATIVE: "recorded by its source",
    RunEvidence.INFERRED: "inferred by Headway; no source recorded it",
    RunEvidence.ASSERTED: "asserted by a person",
    RunEvidence.CONFLICT: "sources disagree",
    RunEvidence.STALE: "its source was not polled lately: shown as unknown",
}
_PROOFS = {
    ProofLevel.START: "only that it started",
    ProofLevel.EXIT: "start, end and exit status",
    ProofLevel.FULL: "start, end, exit status and output",
}
_EXPECTED = "required by its accepted schedule"


def evidence_lines(view: IncidentView, look: RenderContext, forecasts: Sequence[JobForecastView] = ()) -> SegmentLines:
    """The verdict on each service and what it is reckoned from; then the facts, the root first; then what rules saw.
    `forecasts`: what the services' forecasts leave to their jobs."""
    lines: SegmentLines = []
    for service in view.services:
        left = {forecast.job: forecast for forecast in forecasts if forecast.service == (service.title or service.name)}
        lines += [*_service(service, left, look), []]
    lines.append([(" FACTS", "key"), ("  last state from each source, and when", "dim")])
    if not view.members:
        lines.append([(f"   {view.row.title}: its cause is not a run", "dim")])
    for member in view.members:
        lines += _member(member, look)
    if view.findings:
        lines += [[], [(" DETECTED BY RULES", "key")]]
        lines += [
            [
                (f"   {finding.rule.replace('_', ' ')} ", "warn"),
                (clean_line(f"{finding.job}: {finding.with_source}"), "plain"),
            ]
            for finding in view.findings
        ]
    return lines


def _service(
    service: AffectedServiceView, left: Mapping[str, JobForecastView], look: RenderContext
) -> Iterator[list[Segment]]:
    """`left`: what its forecast leaves to each job."""
    mark, word, style = look.glyphs.mark("timeliness", service.timeliness)
    deadline = look.clock.hm(service.deadline, look.now, service.zone)
    yield [
        (f" {mark} ", style),
        (f"{service.title or service.name} ", "strong"),
        (word, style),
        (f", due {deadline}", "plain"),
    ]
    yield from ([(f"   {clean_line(reason)}", "plain")] for reason in _reasons(service))
    green_by = look.clock.hm(service.green_by, look.now, service.zone)
    act_by = look.clock.hm(service.act_by, look.now, service.zone)
    yield [(f"   act by {act_by}, green by {green_by}: {service.source or 'no estimate'}", "dim")]
    yield from ([(f"   {clean_line(words)}", style)] for words, style in _forecast(service, look))
    yield from (
        [(f"   {_estimate(estimate)}", "dim"), *_remaining_text(estimate, left)] for estimate in service.estimates
    )


def _reasons(service: AffectedServiceView) -> Iterator[str]:
    """Without the chance and the finish of when that was judged where the forecast of now tells them."""
    for reason in filter(None, service.reason.split("; ")):
        told = strip_probability(reason) if _is_forecast(service) else reason
        if told == reason or not told.startswith("expected "):
            yield told


def _is_forecast(service: AffectedServiceView) -> bool:
    return service.p_late is not None and service.expected is not None


def _forecast(service: AffectedServiceView, look: RenderContext) -> Iterator[Segment]:
    """ "61 % late: done 05:50, 4 of 5 by 06:20, 19 of 20 by 06:52"; and why that is not to be trusted."""
    if service.p_late is None or service.expected is None:
        return
    p50, p80, p95 = (look.clock.hm(at, look.now, service.zone) for at in (service.expected, service.p80, service.p95))
    yield f"{format_late(service.p_late)}: done {p50}, 4 of 5 by {p80}, 19 of 20 by {p95}", "plain"
    if service.distrust:
        yield f"its forecast is unreliable: {service.distrust}", "warn"


def _remaining_text(one: Mapping[str, object], left: Mapping[str, JobForecastView]) -> list[Segment]:
    """ "; decides 84 %, slack +12m" of a job of the critical path that is not over."""
    known = left.get(str(one.get("job", "")))
    if known is None:
        return []
    return [(f"; decides {format_percent(known.decides)}, slack {slack_text(known)}", slack_style(known))]


def _estimate(one: Mapping[str, object]) -> str:
    """ "load_orders: usually 12m, 90 % within 18m54s; history, 60 runs"."""
    name, source, runs = clean_line(str(one.get("job", ""))), one.get("source", ""), one.get("runs")
    usual, high = one.get("p50_s"), one.get("p90_s")
    takes = f"usually {format_duration(usual)}" if isinstance(usual, int | float) else "no estimate"
    takes += f", 90 % within {format_duration(high)}" if isinstance(high, int | float) and high != usual else ""
    return f"{name}: {takes}; {source}" + (f", {runs} runs" if runs else "")


def _member(member: MemberView, look: RenderContext) -> Iterator[list[Segment]]:
    role_mark, role, role_style = look.glyphs.mark("role", member.role)
    mark, state, style = look.glyphs.mark("state", member.state)
    period = look.clock.period(member.period_key)
    yield [(f" {role_mark} {role} ", role_style), (member.job, "strong"), (f"  {period}", "dim")]
    native = f'; native state "{clean_line(member.native_state)}"' if member.native_state else ""
    exits = f", exit {member.exit_code}" if member.exit_code is not None else ""
    rung = member.evidence.upper()
    yield [(f"    {mark} {state}{exits}", style), (f"  {rung}: {_rung(member)}{native}", "plain")]
    if member.message:
        yield [(f"    {clean_line(member.message.partition(chr(10))[0])}", "plain")]
    yield [(f"    {_ages(member, look)}", "dim")]
    told = [member.reason, "it read stale data" if member.stale_read else "", member.partial_input]
    yield from ([(f"    {clean_line(words)}", "warn")] for words in told if words)


def _rung(member: MemberView) -> str:
    if member.observed is None and member.started is None:
        return _EXPECTED
    return next((words for rung, words in _RUNGS.items() if rung == member.evidence), "unknown evidence")


def _ages(member: MemberView, look: RenderContext) -> str:
    """When its source was heard of it, how old that look is, and what that source can prove at all."""
    heard = "not observed yet"
    if member.observed is not None:
        age = format_span(max(look.now - member.observed, timedelta(0)))
        heard = f"observed {look.clock.hms(member.observed)} ({age} ago)"
    polled = "never polled"
    if member.target_seen is not None:
        polled = f"polled {format_span(max(look.now - member.target_seen, timedelta(0)))} ago"
    proof = next((words for rung, words in _PROOFS.items() if rung == member.proof), member.proof)
    return f"{heard} · {member.target} {polled} · proves {proof}"
