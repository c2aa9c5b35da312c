"""A changed sentence of the product changes at most two files of tests: the one that owns it, and perhaps a second.
All others ask for the value (kind, state, exit code, event) or for the product's own constant. Snapshots of screens do
not count: one command makes them anew."""

from __future__ import annotations

import re
import string
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
READ = {".py", ".txt", ".json", ".toml"}
MOST, PIECE, FEWEST, SHORTEST = 2, 5, 4, 22
LITERAL = re.compile(
    r"""
    \#.* | ^\ *r?"{3}[\s\S]*?"{3}
    | "{3}(?P<long>[\s\S]*?)"{3} | (?P<quote>["'])(?P<short>(?:\\.|(?!(?P=quote)).)*)(?P=quote)
    """,
    re.MULTILINE | re.VERBOSE,
)
"""Comments and docstrings are skipped. `ast.parse` of the product alone would take two seconds."""
BETWEEN = re.compile(r"\s*[bfr]*")
"""What joins two literals to one string."""
ESCAPED = re.compile(r"\\(.)")
NO_SENTENCE = re.compile(
    r"\b(?:SELECT|INSERT|UPDATE|DELETE|WHERE|FROM|JOIN|ORDER BY|SET|PRAGMA|GRANT)\b|\bheadway (?=[a-z])"
)
"""SQL, and a command that a person types."""
OF_OTHERS = {
    "PostgreSQL's own errors, by which a failed run is recognized": (
        "password authentication failed for user", 'connection to server at "',
    ),
    "lines of cron, dbt and sudo, by which a fault or a start is recognized": (
        "missing newline before EOF", "running dbt with arguments", "a password is required",
    ),
    "lines that an administrator types": ("install -d -o root -g adm -m 3773",),
}  # fmt: skip
"""Sentences that are not the product's, by the reason."""

Words = tuple[str, ...]


def strings(source: str) -> Iterator[str]:
    """The strings of a module that can have four words, without docstrings; adjacent literals are one."""
    text, end = "", 0
    for literal in LITERAL.finditer(source):
        part = literal["long"] or literal["short"]
        if part is None:
            continue
        if not BETWEEN.fullmatch(source, end, literal.start()):
            if text.count(" ") >= FEWEST - 1:
                yield text
            text = ""
        text, end = text + part, literal.end()
    yield text


def fixed_parts(text: str) -> Iterator[str]:
    """The parts of a string between its values, each line apart."""
    text = ESCAPED.sub(lambda match: "\n" if match[1] == "n" else match[1], text)
    return (part.strip() for part in re.split(r"\{[^{}]*\}|\n", text))


def words(text: str) -> Words:
    return tuple(filter(None, (word.strip(string.punctuation) for word in text.split())))


def sentences(source: str) -> Iterator[Words]:
    """Fixed parts of strings that have at least four words; no SQL and no commands."""
    for text in strings(source):
        for part in fixed_parts(text):
            if len(part) >= SHORTEST and not NO_SENTENCE.search(part) and len(sentence := words(part)) >= FEWEST:
                yield sentence


def pieces(row: Words, size: int) -> Iterator[Words]:
    return zip(*(row[first:] for first in range(size)), strict=False)


def files_with(wanted: Iterable[Words], files: Mapping[str, str]) -> dict[Words, set[str]]:
    """The files that quote a piece of a sentence: five words in a row, or the whole of a shorter sentence or quote."""
    by_piece: dict[Words, set[int]] = defaultdict(set)
    for sentence in wanted:
        for size in (FEWEST, PIECE):
            for piece in pieces(sentence, size):
                by_piece[piece].add(min(PIECE, len(sentence)))
    found: dict[Words, set[str]] = defaultdict(set)
    for name, text in files.items():
        parts = (part for quoted in strings(text) for part in fixed_parts(quoted)) if name.endswith(".py") else [text]
        for quote in map(words, parts):
            for size in (FEWEST, PIECE):
                for piece in pieces(quote, size):
                    if piece in by_piece and (size in by_piece[piece] or size == len(quote)):
                        found[piece].add(name)
    return found


def repeated(product: Iterable[str], files: Mapping[str, str]) -> list[str]:
    found = files_with((sentence for source in product for sentence in sentences(source)), files)
    others = [" ".join(words(text)) for texts in OF_OTHERS.values() for text in texts]
    return sorted(
        f'"{text}" is in {len(names)} files: {", ".join(sorted(names))}'
        for text, names in ((" ".join(piece), names) for piece, names in found.items())
        if len(names) > MOST and not any(text in other for other in others)
    )


def test_a_changed_sentence_changes_at_most_two_files_of_tests() -> None:
    product = (path.read_text() for top in ("console", "connectors") for path in (ROOT / top).rglob("*.py"))
    tests = (path for path in (ROOT / "tests").rglob("*") if path.suffix in READ and path != Path(__file__))
    files = {str(path.relative_to(ROOT)): path.read_text(errors="ignore") for path in tests}
    faults = repeated(product, files)
    assert not faults, "\n".join(faults)


def test_a_piece_of_a_sentence_in_three_files_is_found() -> None:
    product = [
        'TEXT = f"{name} ended and nobody "\n    "knows why it did"',
        '"""A docstring of five words."""',
        'S = "SELECT 1 FROM b c"',
    ]
    quote = 'see("ended and nobody knows why"); see("A docstring of five words."); "SELECT 1 FROM b c"'
    assert [] == repeated(product, {"one.py": quote, "two.py": quote})
    files = {
        "one.py": quote,
        "two.txt": "load ended and\nnobody knows why.",
        "three.py": 'f"{job} ended and nobody "\n"knows why"',
    }
    assert ['"ended and nobody knows why" is in 3 files: one.py, three.py, two.txt'] == repeated(product, files)


def test_a_quote_of_four_words_is_a_piece() -> None:
    product = ['TEXT = "it ended and nobody knows why"']
    assert 1 == len(repeated(product, dict.fromkeys(("one.py", "two.py", "three.py"), 'match="and nobody knows why"')))
    assert [] == repeated(product, dict.fromkeys(("one.py", "two.py", "three.py"), 'match="nobody knows why"'))
