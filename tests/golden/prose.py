"""Denied words in all text that a user or an engineer reads, with the standard term for each.

`python -m tests.golden.prose` counts them by area; with an AREA or a PATH it lists each with file and line. The budgets
in `prose_budget.toml` only go down: `--lower` writes today's counts where they are lower.
"""

from __future__ import annotations

import argparse
import ast
import html
import re
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent
BUDGET = GOLDEN / "prose_budget.toml"
CODE = ("console", "connectors")
SLACK = 10
"""A count lower than its budget by more than this, and by more than a fifth, requests a lower budget."""


class Denied(NamedTuple):
    pattern: re.Pattern[str]
    term: str


def _denied(pattern: str, term: str) -> Denied:
    return Denied(re.compile(pattern, re.IGNORECASE), term)


TEXT: Mapping[str, Denied] = {
    "tell": _denied(r"\b(?:un)?(?:tells?|telling|told)\b", "notify (alerts), print (a command), report (a source)"),
    "word": _denied(
        r"\b(?:next|first|last|a|one|any|every|no|each) word (?:by|to|about|of|from|on)\b|\bnext word\b"
        r"|\bwithout a word\b|\boutside words?\b|\bwords? from outside\b|\b(?:in|its|our|own) words\b",
        "notification, update; text",
    ),
    "held back": _denied(r"\b(?:held|hold|holds|holding) back\b", "suppressed, with the reason"),
    "mend": _denied(r"\bmend(?:s|ed|ing|able)?\b", "fix, repair (a person), resolve (an incident)"),
    "put right": _denied(r"\b(?:put|puts|putting) (?:\w+ )?right\b", "fix, repair"),
    "nobody": _denied(r"\b(?:nobody|nobody's)\b", "unknown, unassigned, unacknowledged; no user"),
    "somebody": _denied(r"\b(?:some|any)body(?:'s)?\b", "a user, the operator, the owner"),
    "whoever": _denied(r"\b(?:whoever|whomever|whosever)\b", "the user who ..., the caller"),
    "whom": _denied(r"\bwhom\b", "name them: affected services, recipients"),
    "take it": _denied(
        r"\b(?:takes?|took|taken|taking) (?:it|them)(?: with| on|\b(?=[.;,)]|$))|\btaken by\b|\bis on it\b"
        r"|(?<!depends )\bon it:",
        "acknowledge, assigned to; affected services",
    ),
    "hurt": _denied(r"\bhurt(?:s|ing)?\b", "affected, affects"),
    "why so": _denied(r"\bwhy so\b|\bgrounds\b", "evidence, explanation"),
    "owed": _denied(r"\bow(?:ed|es|e|ing)\b|\bwhat is due\b", "pending, overdue"),
    "door": _denied(r"\bdoors?\b", "endpoint, connection pool, auth gate, listener, permission"),
    "look": _denied(
        r"\b(?:a|an|each|every|one|next|last|first|later|earlier|second|this|that|no|its) looks?\b"
        r"|\blook(?:s|ed|ing)? (?:at|again|through|over|away|after)\b|\blooker\b",
        "snapshot, refresh, query, check, simulation run",
    ),
    "stands": _denied(
        r"\b(?:stands?|stood|standing)\b(?!-| (?:for|alone)\b)", "status, freshness; is, is shown, remains"
    ),
    "picture": _denied(r"\bpictures?\b(?!\.svg)", "snapshot"),
    "wish": _denied(r"\bwish(?:es|ed)?\b", "action request"),
    "asked": _denied(r"\basked\b", "requested"),
    "remembered": _denied(r"\bremember(?:s|ed|ing)?\b", "cached, stored"),
    "alike": _denied(r"\balike\b|\bthe like of\b|\blikes of\b", "similar, peer jobs; interning"),
    "at hand": _denied(r"\bat hand\b", "available"),
    "put up with": _denied(r"\b(?:puts?|putting) up with\b", "accept"),
    "give up": _denied(r"\b(?:gives?|given|gave|giving) up\b", "abandon"),
    "come of it": _denied(
        r"\b(?:comes?|came|become|became) of (?:it|them|that|this|each|the)\b|\bcame of\b", "outcome"
    ),
    "let out": _denied(r"\blet(?:s|ting)? out\b", "send"),
    "let go": _denied(r"\blet(?:s|ting)? (?:\w+ )?go\b", "release"),
    "desk": _denied(r"\bdesks?\b", "console, queue, view"),
    "crew": _denied(r"\bcrews?\b", "workers, threads, team"),
    "eyes": _denied(r"\beyes?\b", "visible, monitoring"),
    "ways": _denied(r"\b(?:its|their|own|whole|other) ways?\b", "path, history, method"),
    "for good": _denied(r"\bfor good\b", "permanently"),
    "anew": _denied(r"\banew\b", "again, new"),
    "is no": _denied(
        r"(?<!there )\b(?:is|are|was|were) (?:no (?!longer|more|less|fewer|such)\w+|none\b)",
        "is not a ..., there is no",
    ),
    "is over": _denied(
        r"\b(?:is|was|are|were|be) over\b(?! (?:the|a|an|\d|its|all|any|budget|http|ssh|tls|tcp))",
        "ended, resolved, completed",
    ),
    "riddle": _denied(
        r"(?:^|(?<=[.:;] ))(?:what|who|whose|of what|of whom|that which) (?!(?:if\b|= ))(?![^?]{0,120}\?)",
        "name the subject",
    ),
}
NAMES: Mapping[str, Denied] = {
    "tell": _denied(r"tells?|told|telling|untold|teller", "notify, notified, notification"),
    "mend": _denied(r"mends?|mended|mending", "fix"),
    "nobody": _denied(r"nobody|somebody|anybody|everybody", "unknown, unassigned"),
    "whoever": _denied(r"whoever|whom|who", "name the role"),
    "door": _denied(r"doors?", "endpoint, pool, listener, permission"),
    "look": _denied(r"looks?|looked|looking|looker|lookers", "snapshot, refresh, query, simulation run"),
    "stands": _denied(r"stands?|standing|standings|stood", "status, freshness"),
    "picture": _denied(r"pictures?", "snapshot"),
    "wish": _denied(r"wish|wishes|wished|asked|asking|asks", "action request, requested"),
    "kept": _denied(r"kept|keeping|remember|remembered", "cache, memo, stored"),
    "like": _denied(r"likes|alike", "peer jobs; interning"),
    "hurt": _denied(r"hurts?|hurting|harm", "affected"),
    "grounds": _denied(r"grounds?", "evidence"),
    "owed": _denied(r"owed|owes|owing", "pending, overdue"),
    "desk": _denied(r"desks?", "console, queue, view"),
    "crew": _denied(r"crews?", "workers, threads"),
    "eyes": _denied(r"eyes?", "visible, monitor"),
    "words": _denied(r"words?", "text, title, notification"),
    "house variable": _denied(
        r"(?:found|one|each|its|said|wanted|left|gone|these|those|them|it|there|over|such|more|other|others)",
        "the noun",
    ),
}
"""A name is split at its underscores and capitals; each part must match as a whole. "house variable" is the whole
name of a variable."""
SQL = re.compile(
    r"\b(?:SELECT|INSERT INTO|DELETE FROM|UPDATE \w+ SET|WHERE|(?:LEFT )?JOIN|(?:ORDER|GROUP) BY|EXISTS)\b"
)


@dataclass(frozen=True, slots=True)
class Hit:
    area: str
    word: str
    place: str
    """file:line"""
    text: str
    term: str


class Passage(NamedTuple):
    area: str
    path: Path
    line: int
    text: str


def _help() -> Iterator[Passage]:
    yield from _lines("help", [GOLDEN / "help.txt"])


def _alerts() -> Iterator[Passage]:
    yield from _lines("alerts", [GOLDEN / "alerts.txt"])


def _docs() -> Iterator[Passage]:
    yield from _lines(
        "docs", [ROOT / "README.md", ROOT / "config.example.toml", *sorted((ROOT / "docs").rglob("*.md"))]
    )


def _lines(area: str, paths: Iterable[Path]) -> Iterator[Passage]:
    for path in paths:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if not line.startswith(("$ ", "==")):
                yield Passage(area, path, number, line.strip())


_SVG_TEXT = re.compile(r'<text[^>]*?\sy="([\d.]+)"[^>]*>([^<]*)</text>')


def _screens() -> Iterator[Passage]:
    """The text of each row of each screen snapshot; equal rows of different snapshots count once."""
    seen: set[str] = set()
    for path in sorted((ROOT / "tests/tui/__snapshots__").rglob("*.svg")):
        rows: dict[float, list[str]] = defaultdict(list)
        for y, text in _SVG_TEXT.findall(path.read_text(encoding="utf-8")):
            rows[float(y)].append(html.unescape(text).replace("\xa0", " "))
        for number, y in enumerate(sorted(rows), 1):
            text = re.sub(r"\s+", " ", "".join(rows[y])).strip()
            if text not in seen:
                seen.add(text)
                yield Passage("screens", path, number, text)


def _code() -> Iterator[Passage]:
    """Strings, docstrings and comments. Identifiers: modules, classes and functions. Variables: what is assigned, and
    parameters."""
    for path in (path for folder in CODE for path in sorted((ROOT / folder).rglob("*.py"))):
        yield Passage("identifiers", path, 1, path.parent.name if path.stem == "__init__" else path.stem)
        yield from _module(path, path.read_text(encoding="utf-8"))


def _module(path: Path, source: str) -> Iterator[Passage]:
    docstrings: set[int] = set()
    in_strings: set[int] = set()
    for node in ast.walk(ast.parse(source)):  # a docstring's Expr comes before its Constant
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            docstrings.add(id(node.value))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            in_strings.update(range(node.lineno, (node.end_lineno or node.lineno) + (node.end_lineno != node.lineno)))
            area = "docstrings" if id(node) in docstrings else "strings"
            if " " in node.value.strip() and (area == "docstrings" or not SQL.search(node.value)):
                for offset, line in enumerate(_sentences(node.value, area)):
                    yield Passage(area, path, node.lineno + offset, line)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield Passage("identifiers", path, node.lineno, node.name)
        elif isinstance(node, ast.arg):
            yield Passage("variables", path, node.lineno, node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield Passage("variables", path, node.lineno, node.id)
    for number, line in enumerate(source.splitlines(), 1):
        if "#" in line and number not in in_strings and (found := _COMMENT.search(line)):
            yield Passage("comments", path, number, found[1])


_COMMENT = re.compile(r"(?:^\s*| {2})# ?(.+)")


def _sentences(text: str, area: str) -> list[str]:
    """Lines; a line of a docstring that goes on from the line before begins with a space, so that it is no start."""
    lines = text.splitlines()
    if area != "docstrings":
        return [line.strip() for line in lines]
    before = ["", *lines]
    return [f" {line.strip()}" if above.strip() else line.strip() for above, line in zip(before, lines, strict=False)]


TEXTS: tuple[Callable[[], Iterator[Passage]], ...] = (_help, _alerts, _screens, _docs, _code)
NAMED = ("identifiers", "variables")
_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def hits() -> Iterator[Hit]:
    """Every denied word, area by area."""
    for passages in TEXTS:
        for one in passages():
            yield from _in_name(one) if one.area in NAMED else _in_text(one)


def _in_text(one: Passage) -> Iterator[Hit]:
    for word, (pattern, term) in TEXT.items():
        for _ in pattern.finditer(one.text):
            yield Hit(one.area, word, _place(one), one.text.strip(), term)


def _in_name(one: Passage) -> Iterator[Hit]:
    for word in _denied_in(one.text):
        if word != "house variable" or one.area == "variables":
            yield Hit(one.area, word, _place(one), one.text, NAMES[word].term)


@cache
def _denied_in(name: str) -> tuple[str, ...]:
    parts = [part.lower() for part in _PARTS.findall(name)]
    return tuple(
        word
        for word, (pattern, _) in NAMES.items()
        if any(map(pattern.fullmatch, [name] * (not name.isupper()) if word == "house variable" else parts))
    )


def _place(one: Passage) -> str:
    return f"{one.path.relative_to(ROOT)}:{one.line}"


Counts = Mapping[str, Mapping[str, int]]


def counts(found: Iterable[Hit]) -> Counts:
    """Area -> word -> number."""
    numbers: dict[str, Counter[str]] = defaultdict(Counter)
    for hit in found:
        numbers[hit.area][hit.word] += 1
    return numbers


def budgets() -> Counts:
    """The committed budgets; a word or an area that is not there has 0."""
    if not BUDGET.exists():
        return {}
    found: Counts = tomllib.loads(BUDGET.read_text(encoding="utf-8"))
    return found


def _pairs(now: Counts, allowed: Counts) -> dict[tuple[str, str], tuple[int, int]]:
    """(area, word) -> (count, budget)."""
    keys = {(area, word) for numbers in (now, allowed) for area, words in numbers.items() for word in words}
    return {
        (area, word): (now.get(area, {}).get(word, 0), allowed.get(area, {}).get(word, 0))
        for area, word in sorted(keys)
    }


def above(now: Counts, allowed: Counts) -> dict[tuple[str, str], tuple[int, int]]:
    """(area, word) -> (count, budget) where the count is higher."""
    return {key: (n, of) for key, (n, of) in _pairs(now, allowed).items() if n > of}


def far_below(now: Counts, allowed: Counts) -> dict[tuple[str, str], tuple[int, int]]:
    """(area, word) -> (count, budget) where the budget can be lowered by a real margin, or to zero."""
    pairs = _pairs(now, allowed)
    return {key: (n, of) for key, (n, of) in pairs.items() if n == 0 < of or of - n > max(SLACK, of // 5)}


def write_budgets(now: Counts) -> None:
    """Lower each budget to today's count; a first file holds today's counts."""
    before = budgets()
    lines = ["# Denied words that are still allowed, by area. Only goes down: python -m tests.golden.prose --lower\n"]
    for area in sorted(before or now):
        allowed = before.get(area, {} if before else now[area])
        numbers = {word: min(number, now.get(area, {}).get(word, 0)) for word, number in allowed.items()}
        rows = [f'"{word}" = {number}\n' for word, number in sorted(numbers.items()) if number]
        lines += [f"\n[{area}]\n", *rows] if rows else []
    BUDGET.write_text("".join(lines), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.golden.prose", description=__doc__)
    parser.add_argument("of", nargs="*", metavar="AREA|PATH|WORD", help="list the hits of all that is named")
    parser.add_argument("--lower", action="store_true", help="lower the budgets to today's counts")
    arguments = parser.parse_args()
    found = list(hits())
    now = counts(found)
    if arguments.lower:
        write_budgets(now)
    if arguments.of:
        return _list(found, arguments.of)
    allowed = budgets()
    for area, words in sorted(now.items()):
        print(f"{area}: {sum(words.values())} of {sum(allowed.get(area, {}).values())}")
        print("  " + ", ".join(f"{word} {number}" for word, number in sorted(words.items(), key=lambda each: -each[1])))
    return 0


def _list(found: Iterable[Hit], names: Iterable[str]) -> int:
    words = {*TEXT, *NAMES}
    areas = {hit.area for hit in found} | {"help", "alerts", "screens", "docs", "strings", "docstrings",
                                          "comments", "identifiers", "variables"}  # fmt: skip
    wanted_areas = {name for name in names if name in areas}
    wanted_words = {name for name in names if name in words and name not in areas}
    paths = tuple(name.removeprefix("./") for name in names if name not in areas and name not in words)
    number = 0
    for hit in found:
        fits = (not wanted_areas or hit.area in wanted_areas) and (not wanted_words or hit.word in wanted_words)
        if fits and (not paths or hit.place.startswith(paths)):
            number += 1
            print(f"{hit.place}: {hit.area}: {hit.word} -> {hit.term}\n    {hit.text[:160]}")
    print(f"{number} hits")
    return 1 if number else 0


if __name__ == "__main__":
    sys.exit(main())
