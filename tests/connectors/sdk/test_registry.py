"""Kinds are found by entry point, and listing them imports none."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import UnionType
from typing import Union, get_args, get_origin

import pytest
from pydantic import BaseModel, Strict

from connectors.pg_cron.connector import CONNECTOR
from connectors.sdk import registry
from connectors.sdk.states import Capability
from tests.rows import each_row

OURS = [
    "airflow",
    "batch",
    "cron",
    "dagster",
    "emr",
    "eventbridge",
    "dbt",
    "databricks",
    "files",
    "heartbeat",
    "kubernetes",
    "glue",
    "github_actions",
    "mysql_events",
    "pg_cron",
    "pgagent",
    "prefect",
    "replay",
    "s3",
    "slurm",
    "spark",
    "step_functions",
    "systemd",
    "tables",
]


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The registry without what it has found and loaded before."""
    registry._entry_points.cache_clear()
    registry.load.cache_clear()
    yield monkeypatch
    registry._entry_points.cache_clear()
    registry.load.cache_clear()


def offer(patch: pytest.MonkeyPatch, name: str, value: str) -> None:
    points = (EntryPoint(name, value, registry.GROUP),)
    patch.setattr(registry, "entry_points", lambda group: points)


def test_our_kinds_are_found() -> None:
    assert set(OURS) <= set(registry.kinds())


def test_listing_the_kinds_imports_none_of_them() -> None:
    script = (
        "import json, sys; from connectors.sdk.registry import kinds; kinds();"
        " print(json.dumps([name for name in sys.modules if name.startswith('connectors.')]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    packages = {".".join(name.split(".")[:2]) for name in json.loads(done.stdout)}
    assert {"connectors.sdk"} == packages


@each_row("kind", OURS)
def test_each_kind_loads_and_explains_what_it_cannot_do(kind: str) -> None:
    result = registry.load(kind)
    assert kind == result.kind
    assert result.title
    assert len(result.ladder) > 40, "one paragraph: how much this kind proves, and by what"
    assert set(Capability) == result.capabilities | set(result.missing), "what is missing needs a reason, and only that"
    assert not result.capabilities & set(result.missing)


def test_each_option_has_its_sentence() -> None:
    """Descriptions come from the sentence below a field; a new field without one fails here."""
    import ast
    import inspect

    for kind in OURS:
        module = inspect.getmodule(registry.load(kind).options)
        assert module is not None
        tree = ast.parse(inspect.getsource(module))
        for model in (node for node in tree.body if isinstance(node, ast.ClassDef)):
            body = model.body if issubclass(getattr(module, model.name), BaseModel) else []
            for index, node in enumerate(body):
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    after = body[index + 1] if index + 1 < len(body) else None
                    documented = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                    assert documented, f"{kind}: {model.name}.{node.target.id} has no sentence below it"


def test_an_unknown_kind_names_the_near_miss() -> None:
    with pytest.raises(registry.UnknownKind, match=r'unknown kind "pgcron"; did you mean "pg_cron"\?'):
        registry.load("pgcron")


def test_an_unknown_kind_without_a_near_miss_lists_all() -> None:
    with pytest.raises(registry.UnknownKind, match=r"known kinds: airflow, .*batch, .*cron, "):
        registry.load("zzz")


def test_a_kind_whose_package_is_missing_says_what_to_install(fresh: pytest.MonkeyPatch) -> None:
    offer(fresh, "slurm", "no_such_package_of_ours:CONNECTOR")
    with pytest.raises(
        registry.UnknownKind, match=r'needs a package that is not installed.*pip install "headway\[all\]"'
    ):
        registry.load("slurm")


def test_what_is_no_connector_is_refused(fresh: pytest.MonkeyPatch) -> None:
    offer(fresh, "slurm", "json:loads")
    with pytest.raises(registry.UnknownKind, match="does not implement contract version 1"):
        registry.load("slurm")


def test_a_kind_of_another_contract_version_is_refused(fresh: pytest.MonkeyPatch) -> None:
    fresh.setattr(json, "CONNECTOR_OF_TOMORROW", replace(CONNECTOR, contract_version=99), raising=False)
    offer(fresh, "slurm", "json:CONNECTOR_OF_TOMORROW")
    with pytest.raises(registry.UnknownKind, match="does not implement contract version 1"):
        registry.load("slurm")


def test_a_profile_is_loaded_by_its_path(tmp_path: Path) -> None:
    """It was an unknown kind, though a config names profiles by their paths."""
    path = tmp_path / "mine.toml"
    with pytest.raises(registry.UnknownKind, match=r"mine\.toml: the profile cannot be read: No such file"):
        registry.load(str(path))
    path.write_text(
        registry.profiles()["gitlab"].read_text(encoding="utf-8").replace('kind = "gitlab"', 'kind = "mine"')
    )
    assert "mine" == registry.load(str(path)).kind


def test_no_option_takes_a_text_for_a_boolean() -> None:
    """ "yes" would be true, and so allow what nobody meant to allow."""

    def booleans(annotation: object, place: str, strict: bool = False) -> Iterator[tuple[str, bool]]:
        strict |= any(isinstance(item, Strict) for item in getattr(annotation, "__metadata__", ()))
        if annotation is bool:
            yield place, strict
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
            for name, option in annotation.model_fields.items():
                is_strict = any(isinstance(item, Strict) for item in option.metadata)
                yield from booleans(option.annotation, f"{annotation.__name__}.{name}", is_strict)
        elif not (get_origin(annotation) in (Union, UnionType) and str in get_args(annotation)):  # a text stays one
            for part in get_args(annotation):
                yield from booleans(part, place, strict)

    options = {
        place: strict for kind in registry.kinds() for place, strict in booleans(registry.load(kind).options, "")
    }
    assert options["Host.local"]
    assert [] == [place for place, strict in options.items() if not strict]
