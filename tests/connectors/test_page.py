"""docs/connectors.md and connectors/tested.json say what the kinds promise and what their tests stand on."""

from __future__ import annotations

import json
import re

import pytest

from connectors.sdk import registry
from connectors.sdk.registry import TEST_LEVELS, KindEntry, entries, kinds, load
from connectors.sdk.states import Capability
from console.cli.connectors import GRANT_FILES
from tests.connectors import page as pages
from tests.connectors.page import PAGE, TESTED, basis_of_kinds, conformance_classes, page
from tests.rows import each_row

AGAIN = "run: python -m tests.connectors.page"


def test_every_conformance_class_names_its_basis() -> None:
    unsaid = [klass.__name__ for klass in conformance_classes() if klass.against.partition(": ")[0] not in TEST_LEVELS]
    assert [] == unsaid, 'a class says against = "real: Airflow 3.3.2", as in Hooks.against'
    assert [] == [klass.__name__ for klass in conformance_classes() if not klass.against.partition(": ")[2]]


def test_every_kind_passes_conformance_somewhere() -> None:
    assert [] == [kind for kind, against in basis_of_kinds().items() if not against]


def test_the_page_and_what_is_installed_are_what_the_tests_say() -> None:
    result = basis_of_kinds()
    assert result == json.loads(TESTED.read_text(encoding="utf-8")), AGAIN
    assert page(result) == PAGE.read_text(encoding="utf-8"), AGAIN


READS_RETRIES = re.compile(r"RunState\.RETRYING|\"retrying\"|^retr(?:y|ies) = ", re.MULTILINE)
READS_LIVENESS = re.compile(r"(?:result|self)\.stopped = |stopped=health|^\[liveness\]|MappedHealth\(", re.MULTILINE)


def source_of(kind: str) -> str:
    """The code of a kind, or its profile."""
    path = registry.profiles().get(kind)
    files = [path] if path else sorted((pages.ROOT / "connectors" / kind).glob("*.py"))
    return "".join(file.read_text(encoding="utf-8") for file in files)


def test_the_table_of_retries_and_liveness_has_each_kind_and_what_its_code_reads() -> None:
    rows = [line.strip("| ").split(" | ") for line in pages.sections()[0].splitlines() if line.startswith("| ")][2:]
    assert kinds() == [row[0] for row in rows]
    texts = {row[0]: source_of(row[0]) for row in rows}
    reads = {
        row[0]: (bool(READS_RETRIES.search(texts[row[0]])), bool(READS_LIVENESS.search(texts[row[0]]))) for row in rows
    }
    mapped = {"sql": (True, True), "replay": (True, False)}  # by the states that their options and recordings have
    assert reads | mapped == {row[0]: (not row[1].startswith("–"), not row[5].startswith("–")) for row in rows}


@each_row("kind", kinds())
def test_each_page_is_set_up_then_how_it_reads_and_names_the_command_of_its_grants(kind: str) -> None:
    text = pages.page_of_kind(kind).read_text(encoding="utf-8")
    assert ["## Set up", "## How it reads"] == re.findall(r"^## .*", text, re.MULTILINE)
    assert (kind in GRANT_FILES) == (f"headway connector grants {kind}" in text)


@each_row("kind", kinds())
def test_every_kind_says_what_it_proves_and_why_something_is_missing(kind: str) -> None:
    item = load(kind)
    assert (True, True) == (bool(item.proofs), bool(item.ladder)), "ConnectorKind(proofs=…, ladder=…)"
    assert set(Capability) - set(item.capabilities) == {missing for missing, why in item.missing.items() if why}


def test_a_kind_whose_package_is_missing_is_listed_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_none(kind: str) -> None:
        raise registry.UnknownKind(f'kind "{kind}" needs a package that is not installed')

    monkeypatch.setattr(registry, "load", load_none)
    assert {'kind "cron" needs a package that is not installed'} == {
        entry.error for entry in entries() if entry == KindEntry("cron", error=entry.error)
    }


def test_a_class_may_inherit_its_basis() -> None:
    assert "real: Airflow 3.3.2" in basis_of_kinds()["airflow"]
    assert any(item.startswith("recorded: ") for item in basis_of_kinds()["airflow"])
