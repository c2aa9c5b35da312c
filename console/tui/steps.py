"""A plan that is proposed, as rows and lines: steps in their order, branches by their indent, each explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connectors.words import Verb
from console.durations import duration_words
from console.model.plans import HOLDING, WAIT, Draft, LeftOut, Save, Step
from console.model.words import Safety
from console.tui.cells import Look, counted, heading, line
from console.tui.order import verb_word
from console.tui.shown import said_words
from console.tui.widgets.paint import Run
from console.tui.widgets.table import Column, Row

Lines = list[list[Run]]
Key = tuple[int, str]
"""A step by its job and period: it keeps it however it is moved."""
DEEPEST = 6
"""Levels that are still indented further."""
DRAFT = (
    Column("#", 2, 1, right=True),
    Column("action", 7, 1),
    Column("job", 31, 1, flex=4, most=64, middle=True),
    Column("after", 5, 1),
    Column("rerun", 7, 1),
    Column("takes", 6, 2, right=True),
    Column("saves", 15, 2, flex=3, most=90),
)
LABEL = 11
"""Cells of a label with its gaps: what is wrapped hangs below its text."""


def key_of(step: Step) -> Key:
    return step.job_id, step.verb if step.verb in HOLDING else step.period_key


def depths(after: Mapping[int, Sequence[int]]) -> dict[int, int]:
    """Place -> how many steps must be over before it, one after the other. What waits for none is at 0."""
    found: dict[int, int] = {}
    for place in sorted(after):
        found[place] = max((found[each] + 1 for each in after[place] if each in found), default=0)
    return found


def beside(step: int, after: Mapping[int, Sequence[int]]) -> list[int]:
    """Places that wait neither for this step nor it for them: they go side by side with it."""
    above = {place: _above(place, after) for place in after}
    return [place for place in after if place != step and place not in above[step] and step not in above[place]]


def _above(place: int, after: Mapping[int, Sequence[int]]) -> set[int]:
    found: set[int] = set()
    left = list(after[place])
    while left:
        each = left.pop()
        if each not in found and each in after:
            found.add(each)
            left += after[each]
    return found


def name_at(job: str, depth: int, look: Look) -> str:
    """A job's name, indented by how many steps must be over before it."""
    depth = min(depth, DEEPEST)
    return f"{'  ' * (depth - 1)}{look.glyphs.sign('branch')} {job}" if depth else job


# a proposal


def draft_rows(draft: Draft, out: Sequence[Step], look: Look) -> list[Row]:
    """Its steps, then what a person left out, what is no step and why, and notes."""
    deep = depths({step.place: step.after for step in draft.steps})
    found = [_draft_row(step, deep[step.place], look) for step in draft.steps]
    others = [one for one in draft.left_out if one.job not in {step.job for step in out}]
    if out or others:
        found.append(heading("out", f"LEFT OUT {len(out) + len(others)}"))
    found += [_out_row(step, look) for step in out]
    found += [line(("out", number), _left(one)) for number, one in enumerate(others)]
    if draft.notes:
        found.append(heading("notes", "NOTES"))
        found += [line(("note", number), [(f"   {note}", "warn")]) for number, note in enumerate(draft.notes)]
    return found


def draft_columns(draft: Draft) -> tuple[Column, ...]:
    """With room for the waits that a person, or a hold, gave."""
    most = max((len(_after(step)) for step in draft.steps), default=0)
    return tuple(each._replace(width=max(each.width, most)) if each.title == "after" else each for each in DRAFT)


def _after(step: Step) -> str:
    return ",".join(map(str, step.after)) + (f" +{duration_words(step.wait_s)}" if step.wait_s else "")


def _draft_row(step: Step, depth: int, look: Look) -> Row:
    mark, word, style = look.glyphs.mark("safety", step.safety)
    refused = bool(step.refusal or step.preview.get("refused"))
    safety: Run = ("", "dim") if step.verb == WAIT else (f"{mark} {word}", style)
    if step.preview.get("overlap"):
        safety = (f"{mark} runs", "warn")
    if step.preview.get("refused") and not step.after:  # else it is asked again once those before it are good
        safety = ("refused", "bad")
    return Row(
        key_of(step),
        (
            (str(step.place), "dim"),
            ("wait" if step.verb == WAIT else verb_word(step.verb), "bad" if refused else "strong"),
            (name_at(step.job, depth, look), "plain"),
            (_after(step), "dim"),
            safety,
            (_takes(step, look), "plain" if step.expected_s is not None else "dim"),
            _saved(step.saves),
        ),
    )


def _takes(step: Step, look: Look) -> str:
    return look.glyphs.sign("dash") if step.expected_s is None else duration_words(step.expected_s)


def _saved(saves: Sequence[Save]) -> Run:
    """The services that it saves; first those that it cannot save any more, or not as the plan stands."""
    late = [one.service for one in saves if one.saved is False and not one.waits_for]
    unsaved = [one.service for one in saves if one.waits_for]
    saved = [one.service for one in saves if one.saved is not False]
    told = [("late", late), ("unsaved", unsaved), ("saves" if late or unsaved else "", saved)]
    style = "bad" if late or unsaved else "plain" if all(one.saved for one in saves) else "warn"
    return "; ".join(f"{word} {', '.join(names)}".lstrip() for word, names in told if names), style


def _out_row(step: Step, look: Look) -> Row:
    runs: list[Run] = [(f" {look.glyphs.mark('state', 'cancelled')[0]} {verb_word(step.verb)} {step.job}", "dim")]
    return line(key_of(step), [*runs, ("  by hand; Space takes it in again", "dim")], pick=True)


def _left(one: LeftOut) -> list[Run]:
    return [(f"   {one.job}", "dim"), (f"  {one.why}", "dim")]


def draft_title(draft: Draft) -> str:
    """ "4 steps in 3 systems"."""
    systems = len({step.system for step in draft.steps})
    return f"{counted(len(draft.steps), 'step')} in {counted(systems, 'system')}"


def draft_detail(step: Step, draft: Draft, look: Look) -> Lines:
    """One step in its scheduler's own words."""
    shown = step.preview
    after = {one.place: one.after for one in draft.steps}
    verb = "wait for it" if step.verb == WAIT else str(shown.get("verb") or verb_word(step.verb))
    found: Lines = [[(f"{verb}  ", "strong"), (str(shown.get("words") or step.why), "plain")]]
    side = ", ".join(map(str, beside(step.place, after))) if step.place in after else ""
    waits = [f"{place} {one.job}" for place in step.after for one in draft.steps if one.place == place]
    takes = f"{_takes(step, look)} · {step.source}" if step.source else ""
    rows: list[tuple[str, str, str]] = [
        ("why", step.why if shown.get("words") else "", "plain"),
        ("refused", str(step.refusal or shown.get("refused") or ""), "bad"),
        ("trouble", step.trouble, "warn"),
        ("overlap", str(shown.get("overlap") or ""), "warn"),
        ("safety", step.safety + said_words(shown, look) if shown.get("safety_said") else "", "plain"),
        ("way", step.way, "warn"),
        ("scope", str(shown.get("scope") or step.period_key), "plain"),
        ("after", "; ".join(waits), "plain"),
        ("beside", side and f"{side}: they go side by side", "plain"),
        ("waits", duration_words(step.wait_s) if step.wait_s else "", "plain"),
        ("takes", takes, "plain"),
        *(_save(one) for one in step.saves),
        *(("sends", str(call), "plain") for call in shown.get("native_calls") or ()),
        *(("note", str(note), "plain") for note in shown.get("notes") or ()),
        ("or", ", ".join(step.alternatives), "dim"),
    ]
    if not shown and step.verb not in (WAIT, Verb.RELEASE) and not step.trouble and not step.cannot:
        rows.insert(1, ("preview", "its scheduler is asked for it right before it leaves", "dim"))
    return found + labelled(rows)


def _save(one: Save) -> tuple[str, str, str]:
    return one.label, f"{one.service}: {one.words}", "plain" if one.saved else "warn"


def labelled(rows: Sequence[tuple[str, str, str]]) -> Lines:
    """A line for each (label, text, style) that has a text, and for each further line of it."""
    found: Lines = []
    before = ""
    for label, text, style in rows:
        for part in text.split("\n") if text else ():
            found.append([(f"  {label if label != before else '':<8} ", "dim"), (part, style)])
            before = label
    return found


def start_lines(draft: Draft, look: Look) -> Lines:
    """All that a person says yes to: each step in its order, and how it differs from what was proposed; what is not
    done, and why; who is not saved."""
    found: Lines = []
    for step in draft.steps:
        found += _start_lines(step, look)
    for title, rows in (
        (f"LEFT OUT {len(draft.left_out)}", [(one.job, one.why, "dim") for one in draft.left_out]),
        (f"NOT SAVED {len(draft.unsaved)}", [(one.service, one.words, "warn") for one in draft.unsaved]),
        ("NOTES", [("", note, "warn") for note in draft.notes]),
    ):
        if rows:
            found += [[], [(title, "key")], *([(f"  {name}  ", "plain"), (why, style)] for name, why, style in rows)]
    return found


def _start_lines(step: Step, look: Look) -> Lines:
    verb = "wait for" if step.verb == WAIT else str(step.preview.get("verb") or verb_word(step.verb))
    mark, word, style = look.glyphs.mark("safety", step.safety)
    after = f"  after {', '.join(map(str, step.after))}" if step.after else ""
    wait = f"  waits {duration_words(step.wait_s)} first" if step.wait_s else ""
    safety = f"  {mark} {word}{said_words(step.preview, look)}" if step.verb != WAIT else ""
    first: list[Run] = [(f"{step.place:>2}  ", "dim"), (f"{verb} ", "strong"), (step.job, "plain"), (safety, style)]
    further = [(step.way, "warn"), (str(step.preview.get("overlap") or ""), "warn"), (step.trouble, "warn")]
    return [
        [*first, (after, "dim"), (wait, "warn")],
        *([(f"    {text}", how)] for text, how in further if text),
        *([(f"    {word:<6}", "dim"), (text, "plain")] for word, text in _sends(step)),
    ]


def _sends(step: Step) -> list[tuple[str, str]]:
    """What goes to its scheduler, in its own words; that nobody knows yet where its preview is still to come."""
    if step.verb == WAIT:
        return []
    words, calls = str(step.preview.get("words") or ""), step.preview.get("native_calls") or ()
    if not words and not calls:
        return [("sends", "its scheduler is asked for the words right before it leaves")]
    parts = [part for call in calls for part in str(call).split("\n")]
    return [("does", words)] * bool(words) + [("sends" if not at else "", part) for at, part in enumerate(parts)]


def unsafe(draft: Draft) -> list[Step]:
    """Steps that one Enter does not send: not declared safe, or they may overlap with what runs."""
    return [
        step
        for step in draft.steps
        if step.verb != WAIT and (step.safety != Safety.SAFE or step.preview.get("overlap"))
    ]


def why_not_start(draft: Draft, look: Look, may_widen: bool = False) -> str:
    """Why the plan cannot be started as it stands; empty when it can. `may_widen`: more can be taken in."""
    if not draft.steps:
        wider = (
            f"; {look.key('plan', 'everything')} takes in what no service that is hit waits for"
            if may_widen and draft.left_out
            else ""
        )
        return f"no step is left to send{wider}"
    for step in draft.steps:
        refused = step.refusal or (step.preview.get("refused") if not step.after else "")
        if refused:
            out, other = look.key("plan", "leave_out"), look.key("plan", "alternative")
            return f"step {step.place}: leave it out ({out}), or another way ({other}): {refused}"
    if all(step.verb == WAIT for step in draft.steps):
        return f"no step to send now: it waits for {', '.join(step.job for step in draft.steps)}"
    return ""


def as_shown(draft: Draft) -> dict[str, Any]:
    """The draft as a record, without what only connectors understand."""
    data = draft.as_json()
    for step in data["steps"]:
        step["preview"] = {key: value for key, value in step["preview"].items() if key != "plan"}
    return data
