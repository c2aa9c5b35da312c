"""Why do you say so: the facts that an incident's verdicts rest on, each with its rung of evidence, its source's own
word, and how old it is. Pure; views in, lines out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from connectors.words import Evidence, Proof
from console.clean import clean_line
from console.durations import duration_words
from console.model.forecasts import late_words, percent, without_chance
from console.model.views import HurtService, IncidentView, MemberView
from console.model.views.ahead import JobAheadView
from console.tui.ahead import slack_words, style
from console.tui.cells import Look
from console.tui.when import span
from console.tui.widgets.paint import Run

Lines = list[list[Run]]
HANG = 4
_RUNGS = {
    Evidence.NATIVE: "its source recorded it",
    Evidence.INFERRED: "Headway deduced it; no source says so",
    Evidence.ASSERTED: "a person said so",
    Evidence.CONFLICT: "its sources contradict each other",
    Evidence.STALE: "its source was not seen lately: shown as unknown",
}
_PROOFS = {
    Proof.START: "only that it started",
    Proof.EXIT: "start, end and exit status",
    Proof.FULL: "start, end, exit status and output",
}
_EXPECTED = "its accepted schedule says that it must run"


def grounds(view: IncidentView, look: Look, foreseen: Sequence[JobAheadView] = ()) -> Lines:
    """The verdict on each service and what it is reckoned from; then the facts, the root first; then what rules saw.
    `foreseen`: what the services' forecasts leave to their jobs."""
    lines: Lines = []
    for service in view.services:
        left = {one.job: one for one in foreseen if one.service == (service.title or service.name)}
        lines += [*_service(service, left, look), []]
    lines.append([(" FACTS", "key"), ("  what each source told last, and when", "dim")])
    if not view.members:
        lines.append([(f"   {view.row.title}: its cause is no run", "dim")])
    for member in view.members:
        lines += _member(member, look)
    if view.findings:
        lines += [[], [(" FOUND BY RULES", "key")]]
        lines += [
            [(f"   {one.rule.replace('_', ' ')} ", "warn"), (clean_line(f"{one.job}: {one.with_source}"), "plain")]
            for one in view.findings
        ]
    return lines


def _service(one: HurtService, left: Mapping[str, JobAheadView], look: Look) -> Iterator[list[Run]]:
    """`left`: what its forecast leaves to each job."""
    mark, word, style = look.glyphs.mark("timeliness", one.timeliness)
    deadline = look.clock.hm(one.deadline, look.now, one.zone)
    yield [(f" {mark} ", style), (f"{one.title or one.name} ", "strong"), (word, style), (f", due {deadline}", "plain")]
    yield from ([(f"   {clean_line(reason)}", "plain")] for reason in _reasons(one))
    green_by = look.clock.hm(one.green_by, look.now, one.zone)
    act_by = look.clock.hm(one.act_by, look.now, one.zone)
    yield [(f"   act by {act_by}, green by {green_by}: {one.source or 'no estimate'}", "dim")]
    yield from ([(f"   {clean_line(words)}", style)] for words, style in _forecast(one, look))
    yield from ([(f"   {_estimate(each)}", "dim"), *_left(each, left)] for each in one.estimates)


def _reasons(one: HurtService) -> Iterator[str]:
    """Without the chance and the finish of when that was judged where the forecast of now tells them."""
    for reason in filter(None, one.reason.split("; ")):
        told = without_chance(reason) if _is_forecast(one) else reason
        if told == reason or not told.startswith("expected "):
            yield told


def _is_forecast(one: HurtService) -> bool:
    return one.p_late is not None and one.expected is not None


def _forecast(one: HurtService, look: Look) -> Iterator[Run]:
    """ "61 % late: done 05:50, 4 of 5 by 06:20, 19 of 20 by 06:52"; and why that is not to be trusted."""
    if one.p_late is None or one.expected is None:
        return
    p50, p80, p95 = (look.clock.hm(at, look.now, one.zone) for at in (one.expected, one.p80, one.p95))
    yield f"{late_words(one.p_late)}: done {p50}, 4 of 5 by {p80}, 19 of 20 by {p95}", "plain"
    if one.distrust:
        yield f"its forecast is not to be trusted: {one.distrust}", "warn"


def _left(one: Mapping[str, object], left: Mapping[str, JobAheadView]) -> list[Run]:
    """ "; decides 84 %, slack +12m" of a job of the critical path that is not over."""
    known = left.get(str(one.get("job", "")))
    if known is None:
        return []
    return [(f"; decides {percent(known.decides)}, slack {slack_words(known)}", style(known))]


def _estimate(one: Mapping[str, object]) -> str:
    """ "load_orders: usually 12m, 90 % within 18m54s; history, 60 runs"."""
    name, source, runs = clean_line(str(one.get("job", ""))), one.get("source", ""), one.get("runs")
    usual, high = one.get("p50_s"), one.get("p90_s")
    takes = f"usually {duration_words(usual)}" if isinstance(usual, int | float) else "no estimate"
    takes += f", 90 % within {duration_words(high)}" if isinstance(high, int | float) and high != usual else ""
    return f"{name}: {takes}; {source}" + (f", {runs} runs" if runs else "")


def _member(one: MemberView, look: Look) -> Iterator[list[Run]]:
    role_mark, role, role_style = look.glyphs.mark("role", one.role)
    mark, state, style = look.glyphs.mark("state", one.state)
    period = look.clock.period(one.period_key)
    yield [(f" {role_mark} {role} ", role_style), (one.job, "strong"), (f"  {period}", "dim")]
    native = f'; it says "{clean_line(one.native_state)}"' if one.native_state else ""
    exits = f", exit {one.exit_code}" if one.exit_code is not None else ""
    rung = one.evidence.upper()
    yield [(f"    {mark} {state}{exits}", style), (f"  {rung}: {_rung(one)}{native}", "plain")]
    if one.message:
        yield [(f"    {clean_line(one.message.partition(chr(10))[0])}", "plain")]
    yield [(f"    {_ages(one, look)}", "dim")]
    told = [one.reason, "it read stale data" if one.stale_read else "", one.partial_input]
    yield from ([(f"    {clean_line(words)}", "warn")] for words in told if words)


def _rung(one: MemberView) -> str:
    if one.observed is None and one.started is None:
        return _EXPECTED
    return next((words for rung, words in _RUNGS.items() if rung == one.evidence), "a rung that nobody knows")


def _ages(one: MemberView, look: Look) -> str:
    """When its source was heard of it, how old that look is, and what that source can prove at all."""
    heard = "not heard of yet"
    if one.observed is not None:
        heard = f"heard {look.clock.hms(one.observed)} ({span(max(look.now - one.observed, timedelta(0)))} ago)"
    polled = "never polled"
    if one.target_seen is not None:
        polled = f"polled {span(max(look.now - one.target_seen, timedelta(0)))} ago"
    proof = next((words for rung, words in _PROOFS.items() if rung == one.proof), one.proof)
    return f"{heard} · {one.target} {polled} · it proves {proof}"
