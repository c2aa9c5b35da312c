"""`headway actions [FILTER]`: what was asked of the schedulers, newest first; with an action's key, its whole way."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import suppress
from difflib import get_close_matches

from console.clean import clean_line
from console.cli.common import Stop, clock_words, now_of, positive_number, print_json, say, stamp, watched
from console.cli.exits import Exit
from console.cli.plain import add_plain, tell
from console.cli.table import Col, print_table
from console.durations import duration_words
from console.model.ids import incident_name
from console.model.matching import is_wanted
from console.model.views.asked import AskedView, WayStep
from console.store.errors import NotFound

COLUMNS = (
    Col("asked"), Col("state"), Col("verb", 8), Col("job", 16, middle=True), Col("asked by", drop=1), Col("says", 16),
    Col("why", 10, drop=2), Col("key", drop=3),
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s [FILTER… | KEY] [options]"
    parser.add_argument(
        "words", nargs="*", metavar="FILTER", help="words to find, !word to leave out: state:failed by:mara; or a KEY"
    )
    parser.add_argument("--limit", type=positive_number, default=500, metavar="N", help="look at the latest N (500)")
    add_plain(parser)
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    wanted = " ".join(arguments.words)
    with watched(arguments) as reads:
        if len(arguments.words) == 1:
            with suppress(NotFound):
                return _one(arguments, *reads.asked_as(wanted))
        latest = reads.asked(arguments.limit)
        found = [one for one in latest if is_wanted(one.text, wanted)]
        if not found and len(arguments.words) == 1 and wanted[:1] not in ("", "-", "!") and ":" not in wanted:
            raise Stop(Exit.NOT_FOUND, _nothing(wanted, [one.key for one in latest]))
        total, now = reads.asked_count(), now_of(reads)
    if arguments.json:
        print_json(arguments, found)
        return Exit.OK
    print_table(COLUMNS, [
        (clock_words(one.requested, near=now), _state(one), one.does, one.job, one.requested_by, one.says or "–",
         one.why or "–", one.key)
        for one in found
    ])  # fmt: skip
    if total > arguments.limit:
        say(f"looked at the latest {arguments.limit} of {total}: --limit looks at more")
    return Exit.OK


def _nothing(word: str, keys: Sequence[str]) -> str:
    """A single word is a key or a word to find; this is neither."""
    near = " or ".join(get_close_matches(word, keys, n=3, cutoff=0.8))
    mend = f"did you mean {near}?" if near else "headway actions lists the latest with their keys"
    return f'no action has the key "{clean_line(word)}" or that word in it; {mend}'


def _state(one: AskedView) -> str:
    return "to approve" if one.waits_for_approval else one.state


def _one(arguments: argparse.Namespace, view: AskedView, way: Sequence[WayStep]) -> int:
    if arguments.json:
        print_json(arguments, {"action": view, "way": way})
    else:
        tell(arguments, [f"{view.does} {view.job}: {_state(view)}", *_facts(view), "", "way", *_way(view, way)])
    return Exit.OK


def _facts(one: AskedView) -> Iterator[str]:
    sent = "sent" if one.sent else "will send"
    unknown = "" if one.is_over or one.sends else "its scheduler is asked for it right before it leaves"
    part_of = [incident_name(one.incident_id)] if one.incident_id is not None else []
    part_of += [f"plan {one.plan}"] if one.plan is not None else []
    proof = one.proof
    told = (
        ("says", one.words), ("does", one.native_words), ("scope", one.scope), ("period", one.period),
        *((sent, call) for call in one.sends), (sent, unknown), *(("note", note) for note in one.notes),
        ("asked by", f"{one.requested_by} from {one.requested_from}" if one.requested_from else one.requested_by),
        ("why", one.why or "no reason given"), ("approved", one.approved_by and f"by {one.approved_by}"),
        ("of", ", ".join(part_of)), ("answer", one.native_ref),
        ("proof", proof.words if proof else "none" if one.is_over or one.sent is None else "none yet"),
        ("ran", f"{stamp(proof.started)} to {stamp(proof.ended)}" if proof and proof.started else ""),
        ("key", one.key),
    )  # fmt: skip
    yield from (f"  {label:<10} {text}" for label, text in told if text)


def _way(one: AskedView, way: Sequence[WayStep]) -> Iterator[str]:
    before = one.requested
    for step in way:
        later = f"+{duration_words((step.at - before).total_seconds())}" if step.at > before else ""
        before = step.at
        words = f"  {step.words}" if step.words else ""
        yield f"  {stamp(step.at)} {later:>9}  {step.verb}, {step.actor}{words}"
