"""The corpus of failures: its counts, that a seed gives one corpus, and that each tail still names its cause."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import pytest

from tests.bench.failure_logs import LEAST_LINES, MARK, MOST_LINES, VALUES, FailureLog, causes, failure_logs

COLOUR = re.compile(r"\x1b\[\d+m")
Corpus = tuple[FailureLog, ...]


@pytest.fixture(scope="module")
def logs() -> Corpus:
    return failure_logs(1)


@pytest.mark.deep
def test_2000_failures_of_200_causes_of_ten_tools(logs: Corpus) -> None:
    assert 2_000 == len(logs)
    assert {10} == set(Counter((log.tool, log.cause) for log in logs).values())
    assert {20} == set(Counter(cause.tool for cause in causes()).values())
    halves = {(cause.tool, cause.half) for cause in causes()}
    assert {"tuning": 5, "held out": 5} == Counter(half for _, half in halves)


@pytest.mark.deep
def test_a_seed_gives_the_same_texts_and_another_seed_gives_others(logs: Corpus) -> None:
    assert failure_logs(1) == logs
    same = sum(first.log == second.log for first, second in zip(logs, failure_logs(2), strict=True))
    assert same <= 10


@pytest.mark.deep
def test_no_two_causes_of_a_tool_share_a_text_and_nearly_no_two_nights_do(logs: Corpus) -> None:
    texts = [(cause.tool, MARK.sub(r"«\1»", text)) for cause in causes() for text in cause.texts]
    assert len(texts) == len(set(texts))
    assert all(len(cause.texts) == len(cause.exit_codes) for cause in causes())
    assert len({log.log for log in logs}) >= 1_980


@pytest.mark.deep
def test_each_tail_names_its_cause_and_is_as_long_as_a_tail(logs: Corpus) -> None:
    by_name = {(cause.tool, cause.name): cause for cause in causes()}
    for row in logs:
        text = COLOUR.sub("", row.log)
        assert by_name[row.tool, row.cause].is_named_in(text), (row.tool, row.cause)
        assert LEAST_LINES <= len(text.splitlines()) <= MOST_LINES, (row.tool, row.cause)
        assert not MARK.search(text), (row.tool, row.cause)


def test_causes_that_look_alike_stand_in_one_tool() -> None:
    names = defaultdict(set)
    for cause in causes():
        names[cause.tool].add(cause.name)
    assert all(cause.alike in {"", *names[cause.tool]} - {cause.name} for cause in causes())
    assert 50 <= sum(bool(cause.alike) for cause in causes())


def test_each_mark_has_values() -> None:
    marks = {kind for cause in causes() for text in (*cause.texts, *cause.warnings) for kind, _ in MARK.findall(text)}
    assert marks <= {*VALUES}
