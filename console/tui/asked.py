"""What was asked of the schedulers, as rows and lines: views in, cells out. Pure; the time is an argument."""

from __future__ import annotations

from collections.abc import Sequence

from console.model.ids import incident_name
from console.model.views.asked import AskedView, ProofView, WayStep
from console.tui.cells import Look, counted
from console.tui.order import verb_word
from console.tui.steps import Lines, labelled
from console.tui.when import short, span
from console.tui.widgets.paint import Run
from console.tui.widgets.table import Column, Row

ASKED = (
    Column("", 1, 1),
    Column("asked", 9, 1),
    Column("state", 9, 1),
    Column("does", 8, 2, flex=2, most=22),
    Column("job", 20, 1, flex=3, most=46, middle=True),
    Column("by", 7, 1, flex=1, most=14),
    Column("says", 16, 1, flex=4),
    Column("why", 14, 4, flex=2),
)
SURE = {"native": "as its scheduler recorded it", "inferred": "concluded: nobody wrote its end down",
        "asserted": "as a person said", "conflict": "sources disagree"}  # fmt: skip
"""How much an attempt's state is proved."""


def asked_row(view: AskedView, look: Look) -> Row:
    """One line of Actions."""
    mark, word, style = look.glyphs.mark("action", view.state)
    if view.waits_for_approval:
        word, style = "approve?", "warn"
    return Row(
        view.key,
        (
            (mark, style),
            (look.clock.day(view.requested, look.now), "dim"),
            (word, style),
            (view.does, "plain" if view.native_verb else "dim"),
            (view.job, "strong" if view.needs_a_person else "plain"),
            (view.requested_by, "dim"),
            (view.says, style if view.needs_a_person else "plain"),
            (view.why, "dim"),
        ),
    )


def asked_title(views: Sequence[AskedView], total: int) -> list[Run]:
    """ "ACTIONS 14  1 to approve  2 under way  1 unknown"."""
    count = f" {len(views)}" if total <= len(views) else f" the latest {len(views)} of {total:,}"
    runs: list[Run] = [(" ACTIONS", "key"), (count, "strong")]
    waiting = sum(view.waits_for_approval for view in views)
    going = sum(view.state in ("requested", "sending", "sent") for view in views) - waiting
    unknown = sum(view.state == "unknown" for view in views)
    told = ((waiting, "to approve", "warn"), (going, "under way", "run"), (unknown, "unknown", "warn"))
    return [*runs, *((f"  {number} {words}", style) for number, words, style in told if number)]


def asked_lines(view: AskedView, way: Sequence[WayStep], look: Look) -> Lines:
    """All that is known of one action: what it does, what was or will be sent, its way, its proof."""
    _, word, style = look.glyphs.mark("action", view.state)
    word, style = ("waits for an approval", "warn") if view.waits_for_approval else (word, style)
    sent_word = "sent" if view.sent is not None else "sends"
    unknown = "its scheduler is asked for it right before it leaves" if not view.is_over and not view.sends else ""
    rows: list[tuple[str, str, str]] = [
        ("state", word, style),
        ("says", view.words, "plain"),
        ("does", f"{view.does}: {view.native_words}" if view.native_words else view.does, "plain"),
        ("scope", view.scope, "plain"),
        ("period", look.clock.period(view.period) if view.period else "", "plain"),
        *((sent_word, one, "strong") for one in view.sends),
        (sent_word, unknown, "dim"),
        *(("note", one, "plain") for one in view.notes),
        ("given", ", ".join(f"{name} {value}" for name, value in view.parameters.items() if name != "why"), "plain"),
        ("asked by", _asked_by(view), "plain"),
        ("why", view.why or "no reason given", "plain" if view.why else "dim"),
        ("approved", _approved(view), "plain"),
        ("of", _part_of(view), "plain"),
        ("answer", view.native_ref, "plain"),
        ("key", view.key, "dim"),
    ]
    return [*labelled(rows), [], *_proof_lines(view, look), [], *_way_lines(view, way, look)]


def _asked_by(view: AskedView) -> str:
    by = view.requested_by or "headway"
    by += f" (policy: {view.origin})" if view.origin in ("hold", "trigger") else ""
    return f"{by} from {view.requested_from}" if view.requested_from else by


def _approved(view: AskedView) -> str:
    if view.approved_by:
        return f"by {view.approved_by}"
    return "not yet: another person must" if view.waits_for_approval else ""


def _part_of(view: AskedView) -> str:
    plan = f"plan {view.plan}" if view.plan is not None else ""
    incident = incident_name(view.incident_id) if view.incident_id is not None else ""
    return ", ".join(filter(None, (incident, plan)))


def _proof_lines(view: AskedView, look: Look) -> Lines:
    found: Lines = [[("PROOF", "key")]]
    if view.proof is not None:
        return [*found, *labelled(_proof_rows(view.proof, look))]
    if view.state == "unknown":
        words = "none: its answer was lost; its scheduler is asked until it tells, and nothing is sent again"
    elif view.sent is None:
        words = "none: nothing was sent"
    elif view.is_over:
        words = f"no attempt carries its key; {view.words or 'its scheduler answered'}"
    else:
        words = "none yet: its scheduler has not shown what followed"
    return [*found, [(words, "warn" if view.state == "unknown" else "dim")]]


def _proof_rows(proof: ProofView, look: Look) -> list[tuple[str, str, str]]:
    _, word, style = look.glyphs.mark("state", proof.state)
    native = f' "{proof.native_state}"' if proof.native_state and proof.native_state.lower() != proof.state else ""
    times = look.clock.hms(proof.started) if proof.started else ""
    if proof.started and proof.ended:
        times += f"–{look.clock.hms(proof.ended)}, {span(proof.ended - proof.started)}"
    return [
        ("attempt", f"{proof.number} {word}{native}", style),
        ("exit", "" if proof.exit_code is None else str(proof.exit_code), "plain"),
        ("ran", times, "plain"),
        ("proved", SURE.get(proof.evidence, proof.evidence), "plain"),
        ("says", proof.message, "plain"),
    ]


def _way_lines(view: AskedView, way: Sequence[WayStep], look: Look) -> Lines:
    """Every step with its time, and how long after the one before it came."""
    found: Lines = [[("WAY", "key"), (f"  {counted(len(way), 'step')} in the audit" if way else "", "dim")]]
    steps = way or _own_steps(view)
    before = view.requested
    for step in steps:
        later = f"+{short(step.at - before)}" if step.at > before else ""
        before = step.at
        runs: list[Run] = [(f"{look.clock.hms(step.at)} ", "plain"), (f"{later:>7} ", "dim"),
                           (step.verb.replace("_", " "), "strong"), (f"  {step.actor}", "dim")]  # fmt: skip
        found.append([*runs, (f"  {step.words}", "plain")] if step.words else runs)
    return found


def _own_steps(view: AskedView) -> list[WayStep]:
    """As its own row has them, where the audit was made anew."""
    verb = verb_word(view.verb)
    times = ((view.requested, view.requested_by, f"request {verb}"), (view.approved, view.approved_by, "approve"),
             (view.sent, "headway", f"send {verb}"), (view.ended, "headway", view.state))  # fmt: skip
    return [WayStep(at, by, "", words, "") for at, by, words in times if at is not None]
