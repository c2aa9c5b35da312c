"""What `[[dependencies]]` may say of conditions, gates and periods; every fault with its line, value and fix."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from console.config.loading import load_config
from console.domain.dependency import Requirement, UpstreamCondition, UpstreamPeriod
from console.engine.supervisor.settings import estate_settings
from tests.config.test_config import GOOD, edge, faults
from tests.rows import each_row


def gate(ups: str, *more: str) -> str:
    return "\n".join(["[[dependencies]]", f"upstreams = {ups}", 'downstream = "dwh/d"', *more, ""])


@each_row(
    "more, text",
    [
        ('condition = "ready"', '4: dependencies.1.condition: "ready" needs the check that says so. Add check = "…".'),
        (
            'check = "file"',
            'check: "file" is used only with condition = "ready" (it is "success"). Change one of them.',
        ),
        (
            'calendar = "bank"',
            'calendar: only "previous business day" and "last of month" count days (period is "same")',
        ),
        ('period = "window"', 'period: "window" needs how long before. Add within = "6h".'),
        ('within = "6h"', 'within: only period = "window" has one (period is "same"). Change one of them.'),
        (
            'period = "previous business day"\ncalendar = "bank"',
            'calendar: no calendar "bank". None is configured: add [calendars.bank].',
        ),
        ('condition = "ready"\ncheck = "file"', 'check: no check "file". None is configured: add [checks.file].'),
        (
            'condition = "ready"\ncheck = "file"\nperiod = "previous"',
            'period: "previous": a check queries the same business date. Remove it.',
        ),
        ('condition = "done"', "condition: 'done' is not one of 'success', 'completion', 'failure' or 'ready'."),
        ("need = 2", 'need: 2 of 1 upstreams cannot be. Write at most 1, or "all".'),
    ],
)
def test_a_contradictory_dependency_is_reported_with_the_fix(tmp_path: Path, more: str, text: str) -> None:
    results = faults(tmp_path, edge("a", "b", more) + GOOD)
    assert [text] == [text for result in results if text in result], results


def test_one_upstream_or_several_and_neither_both_nor_none(tmp_path: Path) -> None:
    none = '[[dependencies]]\ndownstream = "dwh/b"\n'
    both = edge("a", "b", 'upstreams = ["dwh/c"]')
    for text in (none, both):
        (result,) = faults(tmp_path, text + GOOD)
        assert 'name one upstream = "…", or several in upstreams = ["…", "…"]' in result


@each_row(
    "text, message",
    [
        (gate('["dwh/a", "dwh/a"]'), 'upstreams: names "dwh/a" twice. Name each once.'),
        (gate('["dwh/a", "dwh/b"]', "need = 3"), "need: 3 of 2 upstreams cannot be. Write at most 2"),
        (gate('["dwh/a", "dwh/b"]', "need = 0"), 'need: 0 is neither "all" nor "any" nor a number from 1.'),
        (gate('["dwh/a", "nope/b"]'), 'upstreams: no system "nope" in "nope/b"'),
        (
            gate('["dwh/a", "dwh/b"]', 'need = "any"') + edge("a", "d"),
            '"dwh/a" → "dwh/d" is declared at',
        ),
    ],
)
def test_an_impossible_gate_is_reported(tmp_path: Path, text: str, message: str) -> None:
    results = faults(tmp_path, text + GOOD)
    assert any(message in result for result in results), results


def test_a_loop_through_the_previous_period_is_valid_and_any_other_is_reported_with_its_path(tmp_path: Path) -> None:
    looped = edge("a", "b") + edge("b", "a", 'period = "previous"') + edge("c", "c", 'period = "previous"')
    (tmp_path / "headway.toml").write_text(looped + GOOD)
    assert 3 == len(load_config(tmp_path / "headway.toml").dependencies)
    (result,) = faults(tmp_path, edge("a", "b") + gate('["dwh/b", "dwh/x"]') + edge("d", "a") + GOOD)
    assert "dependency cycle: dwh/" in result
    assert 'or let one read the run before, with period = "previous".' in result
    (itself,) = faults(tmp_path, edge("c", "c", 'period = "latest before"') + GOOD)
    assert "dwh/c → dwh/c" in itself


def test_what_is_declared_becomes_one_edge_for_each_upstream(tmp_path: Path) -> None:
    text = gate('["dwh/a", "dwh/b", "dwh/c"]', "need = 2", 'condition = "completion"')
    text += edge("a", "e", 'period = "window"', 'within = "6h"') + gate('["dwh/x"]')
    (tmp_path / "headway.toml").write_text(text + GOOD)
    settings = estate_settings(load_config(tmp_path / "headway.toml")).dependencies
    together = Requirement(UpstreamCondition.COMPLETION, gate="1", need=2)
    alone = Requirement(period=UpstreamPeriod.WINDOW, within=timedelta(hours=6))
    assert [
        ("dwh/a", "dwh/d", together), ("dwh/b", "dwh/d", together), ("dwh/c", "dwh/d", together),
        ("dwh/a", "dwh/e", alone), ("dwh/x", "dwh/d", Requirement()),
    ] == [(setting.upstream, setting.downstream, setting.wants) for setting in settings]  # fmt: skip
