"""How config says what each field of somebody's own rows is called: the settings that `connectors.mapping` reads by."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from connectors.contract import State

STEP = re.compile(r"([^.\[\]{}]+)|\[(\d{1,6})\]")
_PATH = re.compile(r"([^.\[\]{}]+|\[\d{1,6}\])(\.[^.\[\]{}]+|\[\d{1,6}\])*")
BRACES = re.compile(r"\{([^{}]*)\}")
NOT_TOLD = frozenset({State.PLANNED, State.MISSED})
"""What Headway finds out by itself."""


def _checked_path(text: str) -> str:
    parts = BRACES.findall(text) if "{" in text else [text]
    if text and not (parts and all(_PATH.fullmatch(part) for part in parts)):
        raise ValueError(f'{text!r} is no path into a row; write "status", "run.result[0].code" or "{{a}}/{{b}}"')
    return text


FieldPath = Annotated[str, AfterValidator(_checked_path)]


def _checked_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ValueError, OSError, KeyError):
        raise ValueError(f'no time zone {text!r}; write "Europe/Berlin" or "UTC"') from None
    return text


Zone = Annotated[str, AfterValidator(_checked_zone)]


def _state(word: Any) -> Any:
    known = [state.value for state in State if state not in NOT_TOLD]
    if not isinstance(word, str) or word not in known:
        near = get_close_matches(str(word), known, n=1)
        hint = f'did you mean "{near[0]}"? ' if near else ""
        raise ValueError(f"{word!r} is no state that a source tells; {hint}There are {', '.join(known)}")
    return word


def _some_green(states: dict[str, State]) -> dict[str, State]:
    if State.SUCCEEDED not in states.values():
        raise ValueError('no word of it means "succeeded", so nothing could ever be green')
    return states


States = Annotated[dict[str, Annotated[State, BeforeValidator(_state)]], AfterValidator(_some_green)]
"""The source's word -> ours. A word that is missing is UNKNOWN and a warning, never green."""


class Fields(BaseModel):
    """What all rows share."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    times: Literal["iso", "seconds", "milliseconds"] = "iso"
    """How instants are written: ISO 8601, or a number since 1970."""
    zone: Zone = "UTC"
    """In which zone an instant without one is meant, and a job's schedule."""


class JobFields(Fields):
    """How a row tells of a job."""

    id: FieldPath = Field(min_length=1)
    """Its identity: it never changes and is never given twice."""
    title: FieldPath = ""
    """What people call it."""
    schedule: FieldPath = ""
    """When it is meant to run."""
    dialect: Literal["debian-cron", "cronie", "pg_cron", "airflow"] = "debian-cron"
    """How that is written: five fields of cron, by Debian's rules of DST or another's."""
    next_at: FieldPath = ""
    """The instant of its next run, where the source knows it."""
    paused: FieldPath = ""
    """True where it starts nothing."""
    enabled: FieldPath = ""
    """The contrary of paused."""
    definition: FieldPath = ""
    """What runs: the command, the SQL."""
    owner: FieldPath = ""
    """Who answers for it."""
    url: FieldPath = ""
    """Its page."""


class RunFields(Fields):
    """How a row tells of one run."""

    id: FieldPath = Field(min_length=1)
    """Its identity."""
    job: FieldPath = Field(min_length=1)
    """The id of its job."""
    state: FieldPath = Field(min_length=1)
    """The source's word on how it is."""
    queued: FieldPath = ""
    """When it was asked for."""
    started: FieldPath = ""
    """When it began."""
    ended: FieldPath = ""
    """When it was over."""
    period: FieldPath = ""
    """The instant for which it was due."""
    changed: FieldPath = ""
    """When the row changed last; else its end, its start, its queueing."""
    exit_code: FieldPath = ""
    """A number."""
    message: FieldPath = ""
    """The source's word on the outcome: an error."""
    url: FieldPath = ""
    """Its page."""
    key: FieldPath = ""
    """Where our action's id stands that `verbs` send: a run that we asked for is known by it."""
