"""What the kinds promise and what their tests stand on, written down: docs/connectors.md and connectors/tested.json.

    python -m tests.connectors.page

The conformance classes under tests say it themselves, in `kind` and `against`, and in what they play
(`tests.connectors.played`); nothing else does.
"""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Iterator
from pathlib import Path

from connectors.catalog import AGAINST, FEATURES, Entry, described
from connectors.conformance import ConnectorConformance
from connectors.registry import kinds, load
from tests.connectors.played import COLUMNS, LIMITS, Played, hook_of, played

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "connectors.md"
TESTED = ROOT / "connectors" / "tested.json"

HEAD = """\
# Connectors: kind by kind

Made from what each kind promises and what its conformance tests stand on (`python -m tests.connectors.page`; a test
keeps it so). `headway connector list` prints the same of what is installed, `headway connector list KIND` all of one,
with the reason for what is missing. Tested against: *real*, the scheduler itself, started by the tests; *emulator*,
somebody else's copy of it; *recorded*, a fake that is fed by replies of a real one; *fake*, one of ours alone.
"""
EACH_REPLY = [what for what in COLUMNS if hook_of(what) == "answering"]
ALL_REPLIES = "each of the replies"
TITLES = {**COLUMNS, **LIMITS, ALL_REPLIES: ALL_REPLIES}
MATRIX = """\
## What their conformance plays

One bar for all: whatever a source may send, and however much. *yes*: each `make check` plays it; *lab*: `make test`
does, with more time or the real thing; *own*: tests of this kind's own do, named below; *–*: not played, for the reason
below.
"""


def conformance_classes() -> Iterator[type[ConnectorConformance]]:
    """Every conformance class that pytest would run, in the order of their files."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if "ConnectorConformance" not in text and "    against = " not in text:
            continue
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for _, found in inspect.getmembers(module, inspect.isclass):
            is_test = found.__name__.startswith("Test") and getattr(found, "__test__", True)
            if issubclass(found, ConnectorConformance) and found.__module__ == module.__name__ and is_test:
                yield found


def stands_on() -> dict[str, list[str]]:
    """Of each kind, what its tests stand on, the strongest proof first."""
    told: dict[str, set[str]] = {kind: set() for kind in kinds()}
    for one in conformance_classes():
        told.setdefault(one.kind.kind, set()).add(one.against)
    return {kind: sorted(each, key=_strength) for kind, each in sorted(told.items())}


def played_by_kind() -> dict[str, Played]:
    """Of each kind, what its worlds play between them."""
    of_kind: dict[str, list[type[ConnectorConformance]]] = {}
    for one in conformance_classes():
        of_kind.setdefault(one.kind.kind, []).append(one)
    return {kind: played(worlds) for kind, worlds in sorted(of_kind.items())}


def _strength(against: str) -> tuple[int, str]:
    return AGAINST.index(against.partition(":")[0]), against


def page(against: dict[str, list[str]]) -> str:
    """docs/connectors.md."""
    found = [described(load(kind), tuple(each)) for kind, each in against.items()]
    plays = played_by_kind()
    titles = ["kind", *(name for name, _ in FEATURES), "proves", "tested against"]
    rows = [[_link(one), *_marks(one), ", ".join(one.proofs) or "–", ", ".join(one.against) or "–"] for one in found]
    lines = [HEAD, *_table(titles, rows), "", MATRIX]
    lines += [*_table(["kind", *COLUMNS.values()], [[kind, *one.marks.values()] for kind, one in plays.items()]), ""]
    return "\n".join(lines + [line for one in found for line in _chapter(one, plays.get(one.kind, Played()))])


def _table(titles: list[str], rows: list[list[str]]) -> list[str]:
    return [_line(titles), _line(["---"] * len(titles)), *map(_line, rows)]


def _marks(entry: Entry) -> list[str]:
    return ["yes" if name in entry.does else "–" for name, _ in FEATURES]


def _link(entry: Entry) -> str:
    there = (PAGE.parent / "connectors" / f"{entry.kind}.md").exists()
    return f"[{entry.kind}](connectors/{entry.kind}.md)" if there else entry.kind


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _chapter(entry: Entry, plays: Played) -> Iterator[str]:
    verbs, lacks = entry.verbs or {}, entry.lacks or {}
    yield from (f"## {entry.title}", "", entry.ladder, "")
    if verbs:
        told = [f"{verb.replace('_', ' ')}: {word}" for verb, word in verbs.items()]
        yield f"- In its own words: {'; '.join(told)}."
    if lacks:
        yield f"- Missing: {'; '.join(f'{name} ({why})' for name, why in lacks.items())}."
    yield f"- Tested against {'; '.join(entry.tested) or 'nothing'}."
    yield from _told("In tests of its own", plays.elsewhere)
    yield from _told("Not played", plays.unplayed)
    yield ""


def _told(title: str, reasons: dict[str, str]) -> Iterator[str]:
    """What has the same reason is told together."""
    by_why: dict[str, list[str]] = {}
    if len({reasons.get(what) for what in EACH_REPLY}) == 1:
        reasons = {ALL_REPLIES: reasons.get(EACH_REPLY[0], ""), **reasons}
        reasons = {what: why for what, why in reasons.items() if why and what not in EACH_REPLY}
    for what, why in reasons.items():
        by_why.setdefault(why, []).append(TITLES[what])
    if by_why:
        told = (f"{', '.join(what)} ({why})" for why, what in by_why.items())
        yield f"- {title}: {'; '.join(told)}."


def main() -> None:
    found = stands_on()
    TESTED.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main()
