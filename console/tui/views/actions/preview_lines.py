"""A preview and its result as lines: verb, scope, affected jobs, safety, and progress. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connectors.sdk.states import STARTING, RunState, Verb
from console.domain.action import ActionView, preview_notes
from console.domain.ids import instant
from console.domain.incident import step_refusal
from console.domain.job import Safety
from console.domain.text import render
from console.timing.durations import format_duration
from console.tui.frame.cells import RenderContext, SegmentLines, counted, labelled_lines
from console.tui.frame.intent import REVERSIBLE
from console.tui.widgets.paint import Segment

STAGES = ("requested", "sending", "sent", "verified")


def _strings(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, Sequence) and not isinstance(value, str) else []


def preview_lines(preview: Mapping[str, Any], ctx: RenderContext, verb: Verb = Verb.RERUN) -> SegmentLines:
    refused = step_refusal(preview, verb)
    overlap, overlap_style = str(preview.get("overlap") or ""), "warn"
    if not overlap and not refused and verb in STARTING:
        overlap, overlap_style = "none: no run in progress", "plain"
    lines: SegmentLines = [
        [(f"  {preview.get('verb', '')}", "strong"), ("   ", "plain"), *_safety(preview, ctx, verb)],
        [("  ", "plain"), (ctx.localized(str(preview.get("summary", ""))), "plain")],
        *labelled_lines(
            [
                ("scope", ctx.localized(str(preview.get("scope", ""))), "plain"),
                *(("touches", text, "plain") for text in _strings(preview.get("affected"))),
                ("refused", refused, "bad"),
                ("overlap", overlap, overlap_style),
                *(("sends", ctx.with_local_times(text), "plain") for text in _strings(preview.get("native_calls"))),
                *(("note", render(note, ctx.zoned), "plain") for note in preview_notes(preview)),
            ]
        ),
    ]
    return lines + (_followers(preview, ctx) if verb in STARTING else [])


def _safety(preview: Mapping[str, Any], ctx: RenderContext, verb: Verb) -> list[Segment]:
    """The owner's declaration, if it decides how the action is sent."""
    if verb in REVERSIBLE:
        return []
    mark, label, style = ctx.mark("safety", str(preview.get("safety", Safety.ASK)))
    if verb not in STARTING:
        return [] if label == Safety.SAFE else [("type its name to confirm", "warn")]
    return [(f"{mark} {_SAFETY.get(label, label)}{safety_text(preview, ctx)}", style)]


def safety_text(preview: Mapping[str, Any], ctx: RenderContext) -> str:
    """ ", set by mara 03:12" if a user, not the config, declared how safe a rerun is; else empty."""
    declared = preview.get("safety_said")
    return f", set by {declared[0]} {ctx.day(instant(int(declared[1])))}" if declared else ""


_SAFETY = {
    "safe": "declared safe to rerun",
    "ask": "not declared safe: type its name to confirm",
    "never": "never rerun, by its owner",
}


def _followers(preview: Mapping[str, Any], ctx: RenderContext) -> SegmentLines:
    followers = [item for item in preview.get("followers") or () if isinstance(item, Sequence) and len(item) == 3]
    if not followers:
        return []
    count = f"NOT SENT: {counted(len(followers), 'run')} still to repair after this one"
    how = f"; {ctx.key('incident', 'recover')} on the incident plans all"
    lines: SegmentLines = [[], [(count, "warn"), (how, "dim")]]
    return lines + [[(f"  {job}", "plain"), (f"  {why}", "dim")] for job, _, why in followers]


def result_lines(action: ActionView | None, preview: Mapping[str, Any], ctx: RenderContext, mine: bool) -> SegmentLines:
    if action is None:
        return [[("sending to the engine…", "dim")]]
    lines: SegmentLines = [_stage_lines(action, ctx), []]
    if not mine:
        lines.insert(0, [("already requested: the earlier action is shown, this one was not sent", "warn")])
    ended = action.ended and f"{ctx.clock.hms(action.ended)} after {format_duration(action.ended - action.requested)}"
    lines += labelled_lines(
        [
            ("request", f"{ctx.clock.hms(action.requested)} by {action.requested_by}", "plain"),
            ("sent", _sent_text(action, preview, ctx) if action.sent is not None else "", "plain"),
            ("ended", ended or "", "plain"),
            ("message", ctx.localized(action.text), "plain"),
        ]
    )
    lines += [[], [(_meaning(action, ctx), "ok" if action.state == "verified" else "plain")]]
    starts = action.verb in STARTING
    return lines + (_followers(preview, ctx) if action.state == "verified" and starts else [])


def _sent_text(action: ActionView, preview: Mapping[str, Any], ctx: RenderContext) -> str:
    ago = "" if action.ended or action.sent is None else f", {format_duration(ctx.now - action.sent)} ago"
    return f"{ctx.clock.hms(action.sent)} {preview.get('verb', action.verb)}{ago}"


def _stage_lines(action: ActionView, ctx: RenderContext) -> list[Segment]:
    reached = STAGES.index(action.state) if action.state in STAGES else (1 if action.sent else 0)
    done, coming = ctx.mark("state", RunState.SUCCEEDED)[0], ctx.mark("state", RunState.PLANNED)[0]
    runs: list[Segment] = []
    for number, step in enumerate(STAGES):
        mark, label, style = ctx.mark("action", step)
        if number > reached and action.state not in STAGES:
            break
        if number < reached or step == "verified" == action.state:
            runs.append((f"{done} {label}   ", "ok"))
        elif number == reached:
            runs.append((f"{mark} {label}   ", "strong" if style == "dim" else style))
        else:
            runs.append((f"{coming} {label}   ", "dim"))
    if action.state not in STAGES:
        mark, label, style = ctx.mark("action", action.state)
        runs.append((f"{mark} {label}", style))
    return runs


def _meaning(action: ActionView, ctx: RenderContext) -> str:
    starts = action.verb in STARTING
    return {
        "requested": "It is sent when that has ended."
        if action.text
        else "The engine sends it next; its intent is recorded before it is sent.",
        "sending": "Sending.",
        "sent": "The scheduler accepted it. Verified when the resulting run succeeds."
        if starts
        else "The scheduler accepted it. Verified when its record shows it.",
        "verified": "The scheduler's record shows that it succeeded." if starts else "Done, as shown above.",
        "refused": "Nothing changed at the scheduler, for the reason above.",
        "failed": "It did not succeed, for the reason above"
        + (
            f"; see the log of the run ({ctx.key('preview', 'back')}, then {ctx.key('run', 'log')})." if starts else "."
        ),
        "unknown": "Outcome unknown: checking the scheduler for this action; it is never sent twice.",
    }.get(action.state, "")
