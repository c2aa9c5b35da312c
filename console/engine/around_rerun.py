"""What the estate knows of a rerun: how safe its owner calls it, and what must be rerun after it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from console.clean import clean_line
from console.control.recovery import followers
from console.model.values import Estate, RunFacts
from console.store import cards, polling
from console.store.open import Store


def around_rerun(store: Store, estate: Estate, run_id: int, now: datetime) -> dict[str, Any]:
    """{"safety": as declared, "safety_said": [by whom, when] where a person did, "followers": [[job, run's id, why], …]
    in the order in which they are rerun}."""
    run = next((one for one in estate.runs if one.id == run_id), None)
    if run is None:
        return {"safety": polling.safety_of_run(store, run_id), "followers": []}
    said = cards.safety_said(store, (run.job_id,)).get(run.job_id, ())
    incident = next((one for one in estate.incidents if run_id in one.member_run_ids), None)
    after = followers(estate, incident, now) if incident is not None else []
    named = [[clean_line(estate.jobs[one.job_id].name), one.id, _why(one)] for one in after if one.id != run_id]
    return {"safety": str(estate.jobs[run.job_id].rerun), "safety_said": list(said), "followers": named}


def _why(run: RunFacts) -> str:
    return f"it ended {run.state}" if run.state.is_red else "it read what its upstream had not finished"
