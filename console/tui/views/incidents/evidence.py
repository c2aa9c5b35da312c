"""Evidence: the facts behind an incident's verdicts, each with its source and its age. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from connectors.sdk.states import RunEvidence
from console.domain.finding import rule_text
from console.domain.forecast import JobForecastView
from console.domain.history import timed_runs_text
from console.domain.incident import AffectedServiceView, IncidentView, MemberView, error_line, members_by_time
from console.domain.probability import format_percent, format_risk
from console.domain.reason import FinishExpected, LateBecause
from console.domain.run import proof_text
from console.domain.text import Clock, render
from console.text.cleaning import clean_line
from console.timing.durations import format_duration
from console.tui.frame.cells import RenderContext, SegmentLines, counted, passed
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
_EXPECTED = "required by its accepted schedule"


def evidence_lines(view: IncidentView, ctx: RenderContext, forecasts: Sequence[JobForecastView] = ()) -> SegmentLines:
    lines: SegmentLines = []
    for service in view.services:
        by_job = {forecast.job: forecast for forecast in forecasts if forecast.title == service.title}
        lines += [*_service(service, by_job, ctx), []]
    lines.append([(" FACTS", "key"), ("  last state from each source, and when", "dim")])
    if not view.members:
        lines.append([(f"   {view.row.title.text(ctx.zoned)}: its cause is not a run", "dim")])
    for member in members_by_time(view):
        lines += _member(member, ctx)
    if view.external_alerts:
        lines += [[], [(" ALERTS OF OTHER MONITORS", "key"), ("  about its hosts and databases", "dim")]]
    for alert in view.external_alerts:
        times = f"   {ctx.hm(alert.started)} {alert.status(ctx.hm)}  "
        lines.append([(times, "dim"), (clean_line(alert.text), "warn")])
    if view.external_alerts_left_out:
        lines.append([(f"   and {view.external_alerts_left_out} more", "dim")])
    if view.findings:
        lines += [[], [(" DETECTED BY RULES", "key")]]
    for finding in view.findings:
        text = clean_line(f"{finding.job}: {render(finding.with_source, ctx.zoned)}")
        lines.append([(f"   {rule_text(finding.rule)} ", "warn"), (text, "plain")])
    return lines


def _service(
    service: AffectedServiceView, by_job: Mapping[str, JobForecastView], ctx: RenderContext
) -> Iterator[list[Segment]]:
    mark, label, style = ctx.mark("timeliness", service.timeliness)
    times = f", due {ctx.due(service.deadline)}"
    if service.delivered is not None:
        times += f", delivered {ctx.due(service.delivered)}"
    yield [(f" {mark} ", style), (f"{service.title} ", "strong"), (label, style), (times, "plain")]
    yield from ([(f"   {clean_line(reason)}", "plain")] for reason in _reasons(service, ctx.zoned))
    if service.delivered is not None:
        return
    if service.act_by is not None or service.green_by is not None or service.p_late is None:
        latest = ctx.hm(service.act_by) + (passed(service.act_by, ctx) if service.act_by else "")
        basis = service.basis.path_text if service.basis else "no estimate"
        yield [(f"   act by {latest}, green by {ctx.hm(service.green_by)}: {basis}", "dim")]
    yield from ([(f"   {clean_line(text)}", style)] for text, style in _forecast(service, ctx))
    for estimate in service.estimates:
        line: list[Segment] = [(f"   {_estimate(estimate)}", "dim")]
        known = by_job.get(str(estimate.get("job", "")))
        if known is not None and not known.has_failed:
            share = f"critical {format_percent(known.decides)}, " if known.may_decide and known.decides < 1 else ""
            text = f"; {share}slack {slack_text(known)}"
            line.append((text, slack_style(known)))
        yield line


def _reasons(service: AffectedServiceView, clock: Clock) -> Iterator[str]:
    """The reasons without the probability and the finish of an earlier forecast, if there is a present one or the
    delivery."""
    has_forecast = service.delivered is not None or (service.p_late is not None and service.expected is not None)
    for reason in service.reasons:
        if not has_forecast:
            yield render(reason.text, clock)
        elif isinstance(reason, LateBecause):
            yield render(reason.delays, clock)
        elif not isinstance(reason, FinishExpected):
            yield render(reason.text, clock)


def _forecast(service: AffectedServiceView, ctx: RenderContext) -> Iterator[Segment]:
    """ "61 % risk of being late: expected 05:50, 95 % by 06:52"; and why it is unreliable. A service that
    waits for a restart has the figures after the usual repair: those of a plan, which restarts now, differ."""
    if service.p_late is None or service.expected is None:
        return
    p50, p95 = (ctx.hm(at) for at in (service.expected, service.p95))
    case = f"{service.repair_case}: " if service.repair_case is not None else ""
    risk = f"{format_risk(service.risk)}{', ' if case else ': '}" if service.risk is not None else ""
    yield f"{case}{risk}{'' if case else 'expected '}{p50}, 95 % by {p95}", "plain"
    if service.unreliable_because:
        yield f"its forecast is unreliable: {service.unreliable_because}", "warn"


def _estimate(estimate: Mapping[str, object]) -> str:
    """ "load_orders: usually 12m, 90 % within 18m54s; history, 60 runs"."""
    name, source, runs = clean_line(str(estimate.get("job", ""))), estimate.get("source", ""), estimate.get("runs")
    usual, high = estimate.get("p50_s"), estimate.get("p90_s")
    if not isinstance(usual, int | float):
        return f"{name}: no estimate: {timed_runs_text(runs if isinstance(runs, int) else 0)}"
    takes = f"usually {format_duration(usual)}"
    takes += f", 90 % within {format_duration(high)}" if isinstance(high, int | float) and high != usual else ""
    return f"{name}: {takes}; {source}" + (f", {counted(runs, 'run')}" if isinstance(runs, int) and runs else "")


def _member(member: MemberView, ctx: RenderContext) -> Iterator[list[Segment]]:
    _, role, role_style = ctx.mark("role", member.present_role)
    mark, state, style = ctx.mark("state", member.state)
    period = ctx.stamp(member.period) if member.period else ctx.period(member.period_key)
    native = f'; native state "{clean_line(member.native_state)}"' if member.native_state else ""
    exits = f", exit {member.exit_code}" if member.exit_code is not None else ""
    rung = member.evidence.upper()
    yield [
        (f" {mark} {state}{exits} ", style),
        (member.job, "strong"),
        (f"  {period}", "dim"),
        (f"  {role}", role_style),
    ]
    yield [(f"    {rung}: {_rung(member)}{native}", "plain")]
    if text := error_line(None, member.message) or member.log_line:
        yield [(f"    {clean_line(text)}", "plain")]
    yield [(f"    {_ages(member, ctx)}", "dim")]
    stale_read, partial_input = "it read stale data" if member.stale_read else "", member.partial_input
    warnings = (render(member.reason, ctx.zoned), stale_read, partial_input)
    yield from ([(f"    {clean_line(warning)}", "warn")] for warning in warnings if warning)


def _rung(member: MemberView) -> str:
    if member.observed is None and member.started is None:
        return _EXPECTED
    return next((text for rung, text in _RUNGS.items() if rung == member.evidence), "unknown evidence")


def _ages(member: MemberView, ctx: RenderContext) -> str:
    heard = "not reported yet"
    if member.observed is not None:
        age = format_duration(max(ctx.now - member.observed, timedelta(0)))
        heard = f"{member.reported_text} {ctx.clock.hms(member.observed)} ({age} ago)"
    polled = "never polled"
    if member.target_seen is not None:
        polled = f"polled {format_duration(max(ctx.now - member.target_seen, timedelta(0)))} ago"
    return f"{heard} · {member.target} {polled} · {proof_text(member.proof)}"
