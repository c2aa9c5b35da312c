"""docs/connectors.md and connectors/tested.json say what the kinds promise and what their tests stand on."""

from __future__ import annotations

import json

import pytest

from connectors import registry
from connectors.catalog import AGAINST, Entry, entries
from connectors.contract import Capability
from connectors.registry import kinds, load
from tests.connectors.page import PAGE, TESTED, conformance_classes, page, stands_on

AGAIN = "run: python -m tests.connectors.page"


def test_every_conformance_class_says_what_it_stands_on() -> None:
    unsaid = [one.__name__ for one in conformance_classes() if one.against.partition(": ")[0] not in AGAINST]
    assert [] == unsaid, 'a class says against = "real: Airflow 3.3.2", as in Hooks.against'
    assert [] == [one.__name__ for one in conformance_classes() if not one.against.partition(": ")[2]]


def test_every_kind_passes_conformance_somewhere() -> None:
    assert [] == [kind for kind, against in stands_on().items() if not against]


def test_the_page_and_what_is_installed_are_what_the_tests_say() -> None:
    found = stands_on()
    assert found == json.loads(TESTED.read_text(encoding="utf-8")), AGAIN
    assert page(found) == PAGE.read_text(encoding="utf-8"), AGAIN


@pytest.mark.parametrize("kind", kinds())
def test_every_kind_says_what_it_proves_and_why_something_is_missing(kind: str) -> None:
    one = load(kind)
    assert (True, True) == (bool(one.proofs), bool(one.ladder)), "ConnectorKind(proofs=…, ladder=…)"
    assert set(Capability) - set(one.capabilities) == {missing for missing, why in one.missing.items() if why}


def test_a_kind_whose_package_is_missing_is_listed_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_none(kind: str) -> None:
        raise registry.UnknownKind(f'kind "{kind}" needs a package that is not installed')

    monkeypatch.setattr(registry, "load", load_none)
    assert {'kind "cron" needs a package that is not installed'} == {
        one.error for one in entries() if one == Entry("cron", error=one.error)
    }


def test_a_class_may_inherit_what_it_stands_on() -> None:
    assert "real: Airflow 3.3.2" in stands_on()["airflow"]
    assert any(one.startswith("recorded: ") for one in stands_on()["airflow"])
