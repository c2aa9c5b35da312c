"""Kind -> connector by entry point `headway.connectors`. Listing the kinds imports none of them."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from connectors.contract import CONTRACT_VERSION, ConnectorKind

GROUP = "headway.connectors"


class UnknownKind(Exception):
    """No installed package offers this kind; the message names the near miss."""


@cache
def _found() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def kinds() -> list[str]:
    """Names of all installed kinds, sorted."""
    return sorted(_found())


def package(kind: str) -> str:
    """The package in which the kind's connector lies, by its entry point; nothing is imported."""
    return _found()[kind].module.rpartition(".")[0]


@cache
def load(kind: str) -> ConnectorKind:
    """The kind's promise. Raises UnknownKind, with the near miss or with what to install."""
    point = _found().get(kind)
    if point is None:
        near = get_close_matches(kind, kinds(), n=1)
        hint = f'did you mean "{near[0]}"?' if near else f"known kinds: {', '.join(kinds())}."
        raise UnknownKind(f'unknown kind "{kind}"; {hint}')
    try:
        found = point.load()
    except ImportError as error:
        mend = 'pip install "headway[all]"'
        raise UnknownKind(f'kind "{kind}" needs a package that is not installed: {error}. {mend}') from error
    if not isinstance(found, ConnectorKind) or found.contract_version != CONTRACT_VERSION:
        raise UnknownKind(f'kind "{kind}" from {point.value} does not speak contract version {CONTRACT_VERSION}')
    return found
