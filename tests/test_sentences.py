"""A changed sentence of the product changes at most two files of tests: the one that owns it, and perhaps a second.
All others ask for the value (kind, state, exit code, event) or for the product's own constant. Snapshots of screens do
not count: one command makes them anew."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
READ = {".py", ".txt", ".json", ".toml"}
MOST, WINDOW, SHORTEST = 2, 4, 22
LITERAL = re.compile(
    r"""
    \#.* | ^\ *r?"{3}[\s\S]*?"{3}
    | "{3}(?P<long>[\s\S]*?)"{3} | (?P<quote>["'])(?P<short>(?:\\.|(?!(?P=quote)).)*)(?P=quote)
    """,
    re.MULTILINE | re.VERBOSE,
)
"""Comments and docstrings are skipped. `ast.parse` of the product alone would take two seconds."""
ESCAPED = re.compile(r"\\(.)")
NO_SENTENCE = re.compile(r"\b(?:SELECT|INSERT|UPDATE|DELETE|WHERE|FROM|JOIN)\b|^headway ")
"""SQL, and a command that a person types."""
OF_OTHERS = {
    "PostgreSQL's own errors, by which a failed run is recognized": (
        "password authentication failed for user", 'connection to server at "',
    ),
    "lines of cron, dbt and sudo, by which a fault or a start is recognized": (
        "missing newline before EOF", "running dbt with arguments", "a password is required",
    ),
    "lines that an administrator types, or puts into sudoers": (
        ") NOPASSWD: /bin/sh -s", "install -d -o root -g adm -m 3773",
    ),
}  # fmt: skip
"""Sentences that are not the product's, by the reason."""


def sentences(source: str) -> Iterator[str]:
    """Fixed parts of strings that have at least four words, each line apart; no SQL and no commands."""
    for literal in LITERAL.finditer(source):
        text = ESCAPED.sub(
            lambda match: "\n" if match[1] == "n" else match[1], literal["long"] or literal["short"] or ""
        )
        for part in re.split(r"\{[^{}]*\}|\n", text):
            sentence = part.strip()
            if len(sentence.split()) >= WINDOW and len(sentence) >= SHORTEST and not NO_SENTENCE.search(sentence):
                yield sentence


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def files_with(wanted: Iterable[str], files: Mapping[str, str]) -> dict[str, list[str]]:
    """The files with each sentence. A file is searched for the sentences whose first four words it has in a row."""
    by_window: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for sentence in wanted:
        by_window[tuple(words(sentence)[:WINDOW])].add(sentence)
    found: dict[str, list[str]] = defaultdict(list)
    for name, text in files.items():
        row = words(text)
        windows = set(zip(*(row[first:] for first in range(WINDOW)), strict=False))
        for window in windows & by_window.keys():
            for sentence in by_window[window]:
                if sentence in text:
                    found[sentence].append(name)
    return found


def repeated(product: Iterable[str], files: Mapping[str, str]) -> list[str]:
    found = files_with((sentence for source in product for sentence in sentences(source)), files)
    others = {text for texts in OF_OTHERS.values() for text in texts}
    return sorted(
        f"{sentence!r} is in {len(names)} files: {', '.join(sorted(names))}"
        for sentence, names in found.items()
        if len(names) > MOST and sentence not in others
    )


def test_a_changed_sentence_changes_at_most_two_files_of_tests() -> None:
    product = (path.read_text() for top in ("console", "connectors") for path in (ROOT / top).rglob("*.py"))
    tests = (path for path in (ROOT / "tests").rglob("*") if path.suffix in READ and path != Path(__file__))
    files = {str(path.relative_to(ROOT)): path.read_text(errors="ignore") for path in tests}
    faults = repeated(product, files)
    assert not faults, "\n".join(faults)


def test_a_sentence_in_three_files_is_found() -> None:
    product = '"""A docstring of five words."""\nTEXT = f"{name} ended and nobody knows why"\nSQL = "SELECT a FROM b"\n'
    text = '"fake/load ended and nobody knows why"; A docstring of five words.; SELECT a FROM b'
    assert [] == repeated([product], {"one.py": text, "two.py": text})
    assert ["'ended and nobody knows why' is in 3 files: one.py, three.txt, two.py"] == repeated(
        [product], {"one.py": text, "two.py": text, "three.txt": text}
    )
