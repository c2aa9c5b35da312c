"""A preview and its result as lines: verb, words, scope, what it touches, how safe it is, and how far it has come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from connectors.words import STARTING, State, Verb
from console.model.ids import instant
from console.model.steps import refusal
from console.model.views import ActionView
from console.model.words import Safety
from console.tui.cells import Look
from console.tui.glyphs import Step
from console.tui.order import REVERSIBLE
from console.tui.when import span
from console.tui.widgets.paint import Run

Lines = list[list[Run]]
WAY = (Step.REQUESTED, Step.SENDING, Step.SENT, Step.VERIFIED)
LABEL = 11
"""Cells of a label with its gaps: what is wrapped hangs below its text."""


def _strings(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, Sequence) and not isinstance(value, str) else []


def lines(preview: Mapping[str, Any], look: Look, verb: Verb = Verb.RERUN) -> Lines:
    """Everything a person should know before saying yes."""
    refused = refusal(preview, verb)
    found: Lines = [
        [("1 ", "dim"), (str(preview.get("verb", "")), "strong"), ("   ", "plain"), *_safety(preview, look, verb)],
        [("  ", "plain"), (str(preview.get("words", "")), "plain")],
        *_labelled("scope", [str(preview.get("scope", ""))]),
        *_labelled("touches", _strings(preview.get("affected"))),
    ]
    if refused:
        found += [[], [("  refused  ", "bad"), (refused, "plain")]]
    if preview.get("overlap"):
        found.append([("  overlap  ", "warn"), (str(preview["overlap"]), "plain")])
    elif not refused and verb in STARTING:
        found.append([("  overlap  ", "dim"), ("none: nothing of it runs now", "plain")])
    found += _labelled("sends", _strings(preview.get("native_calls")))
    found += _labelled("note", _strings(preview.get("notes")))
    return found + (_followers(preview, look) if verb in STARTING else [])


def _safety(preview: Mapping[str, Any], look: Look, verb: Verb) -> list[Run]:
    """What its owner declared, where that decides how it is sent."""
    if verb in REVERSIBLE:
        return []
    mark, word, style = look.glyphs.mark("safety", str(preview.get("safety", Safety.ASK)))
    if verb not in STARTING:
        return [] if word == Safety.SAFE else [("its name is asked for", "warn")]
    return [(f"{mark} {_SAFETY.get(word, word)}{said_words(preview, look)}", style)]


def said_words(preview: Mapping[str, Any], look: Look) -> str:
    """ ", said by mara 03:12": where a person, not config, says how safe a rerun is; else empty."""
    said = preview.get("safety_said")
    return f", said by {said[0]} {look.clock.day(instant(int(said[1])), look.now)}" if said else ""


_SAFETY = {
    "safe": "declared safe to rerun",
    "ask": "not declared safe: its name is asked for",
    "never": "never rerun, by its owner",
}


def _labelled(label: str, texts: Iterable[str]) -> Lines:
    found: Lines = []
    for text in texts:
        for part in text.split("\n") if text else ():
            found.append([(f"  {label if not found else '':<7}  ", "dim"), (part, "plain")])
    return found


def _followers(preview: Mapping[str, Any], look: Look) -> Lines:
    followers = [item for item in preview.get("followers") or () if isinstance(item, Sequence) and len(item) == 3]
    if not followers:
        return []
    found: Lines = [[], [("then, one by one, what it leaves red or stale:", "dim")]]
    for number, (job, _, why) in enumerate(followers, start=2):
        found.append([(f"{number} ", "dim"), (str(job), "plain"), (f"  {why}", "dim")])
    return found


def result(action: ActionView | None, preview: Mapping[str, Any], look: Look, mine: bool) -> Lines:
    """How far an action has come: requested, sending, sent, verified, or what came instead."""
    if action is None:
        return [[("handing it to the engine…", "dim")]]
    found: Lines = [_way(action, look), []]
    if not mine:
        found.insert(0, [("somebody asked for it already; this is that action, yours was not sent", "warn")])
    asked = look.clock.hms(action.requested)
    found.append([("  asked    ", "dim"), (f"{asked} by {action.requested_by}", "plain")])
    if action.sent is not None:
        found.append([("  sent     ", "dim"), (_sent(action, preview, look), "plain")])
    if action.ended is not None:
        found.append(
            [
                ("  ended    ", "dim"),
                (f"{look.clock.hms(action.ended)} after {span(action.ended - action.requested)}", "plain"),
            ]
        )
    if action.words:
        found.append([("  says     ", "dim"), (action.words, "plain")])
    found += [[], [(_meaning(action, look), "ok" if action.state == Step.VERIFIED else "plain")]]
    starts = action.verb in STARTING
    return found + (_followers(preview, look) if action.state == Step.VERIFIED and starts else [])


def _sent(action: ActionView, preview: Mapping[str, Any], look: Look) -> str:
    ago = "" if action.ended or action.sent is None else f", {span(look.now - action.sent)} ago"
    return f"{look.clock.hms(action.sent)} {preview.get('verb', action.verb)}{ago}"


def _way(action: ActionView, look: Look) -> list[Run]:
    """The four steps in a row: done, where it stands, still to come; an end that is none of them stands last."""
    steps = list(WAY)
    reached = steps.index(Step(action.state)) if action.state in steps else (1 if action.sent else 0)
    done, coming = look.glyphs.mark("state", State.SUCCEEDED)[0], look.glyphs.mark("state", State.PLANNED)[0]
    runs: list[Run] = []
    for number, step in enumerate(steps):
        mark, word, style = look.glyphs.mark("action", step)
        if number > reached and action.state not in steps:
            break
        if number < reached or step == Step.VERIFIED == action.state:
            runs.append((f"{done} {word}   ", "ok"))
        elif number == reached:
            runs.append((f"{mark} {word}   ", "strong" if style == "dim" else style))
        else:
            runs.append((f"{coming} {word}   ", "dim"))
    if action.state not in steps:
        mark, word, style = look.glyphs.mark("action", action.state)
        runs.append((f"{mark} {word}", style))
    return runs


def _meaning(action: ActionView, look: Look) -> str:
    starts = action.verb in STARTING
    return {
        "requested": "It is sent once that is over."
        if action.words
        else "The engine sends it next; its intent is written before anything leaves.",
        "sending": "It is on the wire.",
        "sent": "The scheduler took it. It counts when the run that follows is seen to end well."
        if starts
        else "The scheduler took it. It counts when its own record shows it.",
        "verified": "The scheduler's own record says that it succeeded." if starts else "It is so, as said above.",
        "refused": "Nothing happened at the scheduler, for the reason above.",
        "failed": "It did not succeed, for the reason above"
        + (
            f"; the log of what ran says more ({look.key('preview', 'back')}, then {look.key('run', 'log')})."
            if starts
            else "."
        ),
        "unknown": "The answer was lost. It is being looked up under our id; it is never sent twice.",
    }.get(action.state, "")
