"""The action requests of tests, as screens and commands make them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from connectors.sdk.states import Verb
from console.engine.api.action_request import ActionRequest, overlap_choice
from console.engine.api.requests import ProposeBackfill


def rerun_of(run_id: int, preview: Mapping[str, Any] | None = None, why: str = "") -> ActionRequest:
    """The rerun that `preview` showed, with the overlap that it showed and no other."""
    shown = preview or {}
    return ActionRequest(Verb.RERUN, run_id, preview=shown, why=why, overlap=overlap_choice(shown))


def backfill_of(
    job_id: int, first: date, last: date, limit: int | None = None, unseen: bool = False
) -> ProposeBackfill:
    return ProposeBackfill(job_id, first.isoformat(), last.isoformat(), limit, unseen)
