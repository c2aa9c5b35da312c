"""Installed kinds: found by entry point `headway.connectors`, and the profiles of `connectors/profiles`; with what each
supports and what it was tested against.

Listing the kinds imports no kind and reads no profile. Test results are in `tested.json`, written by the tests of
this repository (`python -m tests.connectors.page`); another package may bring a file of that name and form beside its
connector.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from connectors.sdk.contract import CONTRACT_VERSION, ConnectorKind, ProfileModel
from connectors.sdk.states import Capability, ProofLevel, Verb

GROUP = "headway.connectors"


class UnknownKind(Exception):
    """No installed package offers this kind; the message names the near miss."""


@cache
def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


@cache
def profiles() -> dict[str, Path]:
    """Kind -> the profile of that name that Headway ships."""
    return {path.stem: path for path in Path(__file__).parents[1].joinpath("profiles").glob("*.toml")}


def kinds() -> list[str]:
    return sorted({*_entry_points(), *profiles()})


def package(kind: str) -> str:
    """The package in which the kind's connector lies, by its entry point; nothing is imported."""
    return _entry_points()[kind].module.rpartition(".")[0] if kind in _entry_points() else "connectors"


@cache
def load(kind: str) -> ConnectorKind:
    """The kind of this name, or of the profile at this path ("nightly.toml"). Raises UnknownKind, with the near miss or
    what to install."""
    point = _entry_points().get(kind)
    path = Path(kind) if kind.endswith(".toml") else profiles().get(kind)
    if point is None and path is not None:
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UnknownKind(f"{path}: the profile cannot be read: {error.strerror}") from None
        return profile_model(document).model_validate(document, context={}).connector_kind()
    if point is None:
        near = get_close_matches(kind, kinds(), n=1)
        hint = f'did you mean "{near[0]}"?' if near else f"known kinds: {', '.join(kinds())}."
        raise UnknownKind(f'unknown kind "{kind}"; {hint}')
    try:
        result = point.load()
    except ImportError as error:
        fix = 'pip install "headway[all]"'
        raise UnknownKind(f'kind "{kind}" needs a package that is not installed: {error}. {fix}') from error
    if not isinstance(result, ConnectorKind) or result.contract_version != CONTRACT_VERSION:
        raise UnknownKind(f'kind "{kind}" from {point.value} does not implement contract version {CONTRACT_VERSION}')
    return result


def profile_model(document: Mapping[str, Any]) -> type[ProfileModel]:
    """The model that validates a profile, by its base kind. Raises UnknownKind."""
    base = str(document.get("base", ""))
    model = load(base).profile if base in _entry_points() else None
    if model is None:
        raise UnknownKind(f'a profile has no base "{base[:40]}". Write base = "http" or "sql".')
    return model


TEST_LEVELS = ("real", "emulator", "recorded", "described", "fake")
"""Test environments of a kind, the strongest proof first. "recorded": a fake with replies of a real server;
"described": one that the vendor's machine-readable description of its API judges."""
FEATURES: tuple[tuple[str, Capability | None], ...] = (
    ("observe", None),
    ("log", Capability.LOG),
    ("rerun", Capability.RERUN),
    ("start", Capability.START),
    ("cancel", Capability.CANCEL),
    ("mark", Capability.MARK),
    ("hold", Capability.HOLD),
    ("backfill", Capability.PERIODS),
    ("lineage", Capability.NATIVE_DEPENDENCIES),
    ("schedule", None),
    ("tasks", Capability.TASKS),
)
"""Feature -> its capability; None where it has none."""
NEXT_ONLY = "the next start alone, as its source names it"
NO_CLOCK = "its source does not show when a job starts by itself"


@dataclass(frozen=True, slots=True)
class KindEntry:
    """One installed kind. `error`: why it cannot be loaded; the other fields are then empty."""

    kind: str
    title: str = ""
    does: tuple[str, ...] = ()
    lacks: Mapping[str, str] | None = None
    """Missing feature -> why."""
    verbs: Mapping[str, str] | None = None
    """Feature -> its native name; for "schedule", its limits."""
    proofs: tuple[str, ...] = ()
    ladder: str = ""
    tested: tuple[str, ...] = ()
    """ "real: Airflow 3.3.2", …"""
    error: str = ""

    @property
    def against(self) -> tuple[str, ...]:
        """The levels of TEST_LEVELS that it was tested against."""
        levels = {item.partition(":")[0] for item in self.tested}
        return tuple(level for level in TEST_LEVELS if level in levels)


def entries() -> list[KindEntry]:
    result = []
    for kind in kinds():
        try:
            result.append(describe_kind(load(kind), tested(kind)))
        except UnknownKind as error:
            result.append(KindEntry(kind, error=str(error)))
    return result


def describe_kind(kind: ConnectorKind, against: tuple[str, ...]) -> KindEntry:
    lacking = {name for name, needed in FEATURES if needed is not None and needed not in kind.capabilities}
    lacking |= set() if kind.schedules else {"schedule"}
    does = tuple(name for name, _ in FEATURES if name not in lacking)
    lacks = {name: kind.missing.get(needed, "") for name, needed in FEATURES if needed and name not in does}
    verbs = {verb.value: kind.verbs[verb] for verb in Verb if verb in kind.verbs}
    verbs |= {"schedule": NEXT_ONLY} if kind.schedules == "next" else {}
    proofs = tuple(proof.value for proof in ProofLevel if proof in kind.proofs)
    lacks |= {"schedule": NO_CLOCK} if "schedule" in lacking else {}
    return KindEntry(kind.kind, kind.title, does, lacks, verbs, proofs, kind.ladder, against)


def tested(kind: str) -> tuple[str, ...]:
    """Test environments of the kind, by the file of its package; empty without one."""
    result = _tested("connectors").get(kind)
    if result is None:
        result = _tested(package(kind)).get(kind, [])
    return tuple(str(item) for item in result)


@cache
def _tested(package: str) -> Mapping[str, Any]:
    from importlib.resources import files

    try:
        document = json.loads(files(package).joinpath("tested.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, ModuleNotFoundError, TypeError):
        return {}
    return document if isinstance(document, dict) else {}
