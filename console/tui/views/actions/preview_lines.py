"""A preview and its result as lines: verb, scope, affected jobs, safety, and progress. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from connectors.sdk.states import STARTING, RunState, Verb
from console.domain.action import ActionView
from console.domain.ids import instant
from console.domain.incident import step_refusal
from console.domain.job import Safety
from console.tui.frame.cells import RenderContext, SegmentLines
from console.tui.frame.clock_format import format_span
from console.tui.frame.glyphs import StepStage
from console.tui.frame.intent import REVERSIBLE
from console.tui.widgets.paint import Segment

STAGES = (StepStage.REQUESTED, StepStage.SENDING, StepStage.SENT, StepStage.VERIFIED)
PREVIEW_LABEL = 11
"""Cells of a label with its gaps: what is wrapped hangs below its text."""


def _strings(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, Sequence) and not isinstance(value, str) else []


def preview_lines(preview: Mapping[str, Any], look: RenderContext, verb: Verb = Verb.RERUN) -> SegmentLines:
    """Everything a person should know before saying yes."""
    refused = step_refusal(preview, verb)
    lines: SegmentLines = [
        [("1 ", "dim"), (str(preview.get("verb", "")), "strong"), ("   ", "plain"), *_safety(preview, look, verb)],
        [("  ", "plain"), (str(preview.get("summary", "")), "plain")],
        *_labelled("scope", [str(preview.get("scope", ""))]),
        *_labelled("touches", _strings(preview.get("affected"))),
    ]
    if refused:
        lines += [[], [("  refused  ", "bad"), (refused, "plain")]]
    if preview.get("overlap"):
        lines.append([("  overlap  ", "warn"), (str(preview["overlap"]), "plain")])
    elif not refused and verb in STARTING:
        lines.append([("  overlap  ", "dim"), ("none: no run in progress", "plain")])
    lines += _labelled("sends", _strings(preview.get("native_calls")))
    lines += _labelled("note", _strings(preview.get("notes")))
    return lines + (_followers(preview, look) if verb in STARTING else [])


def _safety(preview: Mapping[str, Any], look: RenderContext, verb: Verb) -> list[Segment]:
    """What its owner declared, where that decides how it is sent."""
    if verb in REVERSIBLE:
        return []
    mark, word, style = look.glyphs.mark("safety", str(preview.get("safety", Safety.ASK)))
    if verb not in STARTING:
        return [] if word == Safety.SAFE else [("type its name to confirm", "warn")]
    return [(f"{mark} {_SAFETY.get(word, word)}{safety_text(preview, look)}", style)]


def safety_text(preview: Mapping[str, Any], look: RenderContext) -> str:
    """ ", said by mara 03:12": where a person, not config, says how safe a rerun is; else empty."""
    said = preview.get("safety_said")
    return f", set by {said[0]} {look.clock.day(instant(int(said[1])), look.now)}" if said else ""


_SAFETY = {
    "safe": "declared safe to rerun",
    "ask": "not declared safe: type its name to confirm",
    "never": "never rerun, by its owner",
}


def _labelled(label: str, texts: Iterable[str]) -> SegmentLines:
    lines: SegmentLines = []
    for text in texts:
        for part in text.split("\n") if text else ():
            lines.append([(f"  {label if not lines else '':<7}  ", "dim"), (part, "plain")])
    return lines


def _followers(preview: Mapping[str, Any], look: RenderContext) -> SegmentLines:
    followers = [item for item in preview.get("followers") or () if isinstance(item, Sequence) and len(item) == 3]
    if not followers:
        return []
    lines: SegmentLines = [[], [("then, one by one, the runs left red or stale:", "dim")]]
    for number, (job, _, why) in enumerate(followers, start=2):
        lines.append([(f"{number} ", "dim"), (str(job), "plain"), (f"  {why}", "dim")])
    return lines


def result_lines(
    action: ActionView | None, preview: Mapping[str, Any], look: RenderContext, mine: bool
) -> SegmentLines:
    """How far an action has come: requested, sending, sent, verified, or what came instead."""
    if action is None:
        return [[("sending to the engine…", "dim")]]
    lines: SegmentLines = [_stage_lines(action, look), []]
    if not mine:
        lines.insert(0, [("already requested: this is that action, yours was not sent", "warn")])
    asked = look.clock.hms(action.requested)
    lines.append([("  asked    ", "dim"), (f"{asked} by {action.requested_by}", "plain")])
    if action.sent is not None:
        lines.append([("  sent     ", "dim"), (_sent_text(action, preview, look), "plain")])
    if action.ended is not None:
        lines.append(
            [
                ("  ended    ", "dim"),
                (f"{look.clock.hms(action.ended)} after {format_span(action.ended - action.requested)}", "plain"),
            ]
        )
    if action.words:
        lines.append([("  says     ", "dim"), (action.words, "plain")])
    lines += [[], [(_meaning(action, look), "ok" if action.state == StepStage.VERIFIED else "plain")]]
    starts = action.verb in STARTING
    return lines + (_followers(preview, look) if action.state == StepStage.VERIFIED and starts else [])


def _sent_text(action: ActionView, preview: Mapping[str, Any], look: RenderContext) -> str:
    ago = "" if action.ended or action.sent is None else f", {format_span(look.now - action.sent)} ago"
    return f"{look.clock.hms(action.sent)} {preview.get('verb', action.verb)}{ago}"


def _stage_lines(action: ActionView, look: RenderContext) -> list[Segment]:
    """The four steps in a row: done, where it stands, still to come; an end that is none of them stands last."""
    steps = list(STAGES)
    reached = steps.index(StepStage(action.state)) if action.state in steps else (1 if action.sent else 0)
    done, coming = look.glyphs.mark("state", RunState.SUCCEEDED)[0], look.glyphs.mark("state", RunState.PLANNED)[0]
    runs: list[Segment] = []
    for number, step in enumerate(steps):
        mark, word, style = look.glyphs.mark("action", step)
        if number > reached and action.state not in steps:
            break
        if number < reached or step == StepStage.VERIFIED == action.state:
            runs.append((f"{done} {word}   ", "ok"))
        elif number == reached:
            runs.append((f"{mark} {word}   ", "strong" if style == "dim" else style))
        else:
            runs.append((f"{coming} {word}   ", "dim"))
    if action.state not in steps:
        mark, word, style = look.glyphs.mark("action", action.state)
        runs.append((f"{mark} {word}", style))
    return runs


def _meaning(action: ActionView, look: RenderContext) -> str:
    starts = action.verb in STARTING
    return {
        "requested": "It is sent when that has ended."
        if action.words
        else "The engine sends it next; its intent is recorded before it is sent.",
        "sending": "Sending.",
        "sent": "The scheduler accepted it. Verified when the resulting run succeeds."
        if starts
        else "The scheduler accepted it. Verified when its record shows it.",
        "verified": "The scheduler's record shows that it succeeded." if starts else "Done, as shown above.",
        "refused": "Nothing changed at the scheduler, for the reason above.",
        "failed": "It did not succeed, for the reason above"
        + (
            f"; see the log of the run ({look.key('preview', 'back')}, then {look.key('run', 'log')})."
            if starts
            else "."
        ),
        "unknown": "Outcome unknown: checking the scheduler for this action; it is never sent twice.",
    }.get(action.state, "")
