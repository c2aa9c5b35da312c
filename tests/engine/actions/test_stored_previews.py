"""Previews that another version of Headway stored: refused or unknown, and never a broken round."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from connectors.sdk.contract import ActionUnknown
from connectors.sdk.errors import NotSupported
from connectors.sdk.secrets import SecretStore
from console.engine.actions.previews import preview_from_json
from console.engine.actions.sender import ActionSender
from console.engine.keyed_executor import CallsInFlight

OF_BEFORE = {
    "verb": "pause the DAG",
    "words": "pause load",
    "scope": "all runs",
    "plan": {"how": "hold", "dag": "load"},
}


def test_a_preview_of_another_version_is_refused() -> None:
    with pytest.raises(NotSupported, match="another version"):
        preview_from_json(OF_BEFORE)


@pytest.mark.parametrize(
    "preview, why",
    [(OF_BEFORE, "another version"), ({**OF_BEFORE, "summary": "pause load"}, "cannot be read: it lacks 'job'")],
)
def test_a_lookup_by_it_is_unknown_with_the_reason(preview: dict[str, Any], why: str) -> None:
    class Connector:
        def look_up(self, preview: Any, key: str, timeout_seconds: float) -> object:
            return preview.plan["job"]

    class Pool:
        places: ClassVar = {7: SimpleNamespace(name="airflow")}

        def exclusive(self, target: int) -> Any:
            return nullcontext(Connector())

    sender = ActionSender(Pool(), SecretStore(), lambda: False, str, CallsInFlight())  # type: ignore[arg-type]
    action = SimpleNamespace(target_id=7, system="airflow", key="headway-0123456789", preview=preview)
    lookup = sender.look_up(action)  # type: ignore[arg-type]
    assert isinstance(lookup, ActionUnknown)
    assert why in lookup.why
