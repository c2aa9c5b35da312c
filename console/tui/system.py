"""One target as lines: its health, its cursor, what it skipped, what it may do, and what a probe said. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from console.model.views import DriftView, TargetView
from console.model.views.estate import right_words
from console.tui.cells import Look, counted
from console.tui.rows import READING
from console.tui.steps import Lines, labelled
from console.tui.when import span

DRIFTS = 20
"""Of them all so many are listed."""
_STYLES = {"may": "plain", "MAY NOT": "bad", "may?": "warn"}
Labelled = list[tuple[str, str, str]]


def system_lines(view: TargetView, drift: Sequence[DriftView], look: Look) -> Lines:
    """All that is known of one target; what a person must know stands on top."""
    lines = labelled([*_health(view, look), *_reads(view, look)])
    lines += [[], [("CAN", "key")], *labelled(_can(view))]
    if view.warnings:
        lines += [[], [("WARNINGS", "key"), (f"  {len(view.warnings)}", "dim")], *_each(view.warnings, "warn")]
    if view.skipped:
        head = [("SKIPPED", "key"), (f"  {view.skipped:,} records could not be read; the latest", "dim")]
        lines += [[], head, *_each(view.skipped_words, "plain")]
    if drift:
        lines += [[], [("DRIFT", "key"), (f"  {counted(len(drift), 'job')} changed outside of us", "dim")]]
        lines += [[(f"  {one.job}  ", "plain"), (one.words or one.what, "dim")] for one in drift[:DRIFTS]]
    return lines


def _health(view: TargetView, look: Look) -> Labelled:
    pause = view.pause
    paused = f"by {pause.by} until {look.clock.day(pause.until, look.now)} (P polls it again)" if pause else ""
    failing = ""
    if view.failing_since is not None:
        failing = f"since {look.clock.day(view.failing_since, look.now)}, {counted(view.failures, 'poll')} in a row"
    age = f"{span(look.now - view.last_ok)} ago" if view.last_ok else "never seen"
    if view.next_try is not None and view.last_try is not None:
        age, answered = f"{span(look.now - view.last_try)} ago", f"; last answered {age}"
    else:
        answered = ""
    every = span(timedelta(seconds=view.poll_every_s))
    return [
        ("paused", paused, "warn"),
        ("why", pause.why if pause else "", "warn"),
        ("failing", failing, "bad"),
        ("error", view.error, "bad"),
        ("asleep", view.stands_still, "bad"),
        ("mend", view.mend, "plain"),
        ("polled", f"{age}, every {every}{answered}", "plain" if view.is_well else "warn"),
        ("next", view.next_words(look.now), "plain"),
        ("lag", _lag(view, look), "warn"),
        ("took", "" if view.poll_ms is None else f"{view.poll_ms:.0f} ms", "plain"),
        ("requests", view.budget, "plain"),
    ]


def _lag(view: TargetView, look: Look) -> str:
    """How late the next poll is, where that is more than an interval."""
    every = timedelta(seconds=view.poll_every_s)
    late = look.now - view.last_ok - every if view.last_ok else timedelta(0)
    return f"{span(late)} behind its interval" if late > every else ""


def _reads(view: TargetView, look: Look) -> Labelled:
    clock, now = look.clock, look.now
    seen = f"every start before {clock.day(view.seen_until, now)}, {span(now - view.seen_until)} ago" if (
        view.seen_until) else ""  # fmt: skip
    listed = f", listed anew {span(now - view.inventory)} ago" if view.inventory else ""
    lost = "" if view.lost is None else f"evidence from {clock.full(view.lost[0])} to {clock.full(view.lost[1])}"
    return [
        ("kind", f"{view.kind} {view.version}".strip(), "plain"),
        ("cursor", seen, "plain"),
        ("jobs", f"{view.jobs:,}{listed}", "plain"),
        ("clock", "" if view.skew_s is None else f"{view.skew_s:+.1f} s beside ours", "plain"),
        ("zone", view.zone, "plain"),
        ("up since", clock.full(view.booted) if view.booted else "", "plain"),
        ("lost", lost, "warn"),
    ]


def _can(view: TargetView) -> Labelled:
    able = " ".join(verb.replace("_", " ") for verb in view.capabilities if verb not in READING)
    rows: Labelled = [("can", able or "nothing: it is watched only", "plain")]
    rows += [("cannot", f"{verb.replace('_', ' ')}: {why}", "dim") for verb, why in view.missing.items()]
    return [*rows, *map(_right, view.rights)]


def _right(right: Mapping[str, Any]) -> tuple[str, str, str]:
    word, text = right_words(right)
    return word, text, _STYLES[word]


def _each(words: Sequence[str], style: str) -> Lines:
    return [[(f"  {one}", style)] for one in words]


def probe_text(found: Sequence[Mapping[str, Any]]) -> str:
    """What came back from each target that was asked."""
    lines: list[str] = []
    for one in found:
        stands = f"answers in {one['took_ms']} ms" if one["reachable"] else "does NOT answer"
        lines.append(f"{one['target']}: {stands}{', ' + one['version'] if one['version'] else ''}")
        lines += [f"  {one['error']}"] if one["error"] else []
        for right in one["rights"]:
            word, text, _ = _right(right)
            lines.append(f"  {word:<8} {text}")
        lines.append("")
    return "\n".join(lines).rstrip()
