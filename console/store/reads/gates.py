"""What a job waits for, gate by gate, as `headway job` and its screen say it."""

from __future__ import annotations

from datetime import timedelta

from console.model.wants import Condition, Period, Wants
from console.store.reads.link import Link

COLUMNS = "d.condition, d.check_name, d.period, d.calendar, d.within_s, d.gate, d.need"


def wants_of(
    condition: str, check: str, period: str, calendar: str, within_s: float | None, gate: str, need: int
) -> Wants:
    """What a dependency wants, of its COLUMNS."""
    within = None if within_s is None else timedelta(seconds=within_s)
    return Wants(Condition(condition), check, Period(period), calendar, within, gate, need)


def waits_of(link: Link, job_id: int) -> tuple[str, ...]:
    """In the order of the upstreams' names; empty where each must be good on the same date, and nothing else."""
    rows = link.rows(
        f"SELECT u.id, u.name, {COLUMNS} FROM dependency d JOIN job u ON u.id = d.upstream_id"  # noqa: S608  (ours)
        " WHERE d.downstream_id = ? ORDER BY u.name, u.id, d.origin",
        (job_id,),
    )
    wanted: dict[int, tuple[str, Wants]] = {}
    for number, name, *columns in rows:  # what config says of a pair stands first
        wanted.setdefault(number, (name, wants_of(*columns)))
    if all(wants.is_plain for _, wants in wanted.values()):
        return ()
    gates: dict[object, list[tuple[str, Wants]]] = {}
    for number, (name, wants) in wanted.items():
        gates.setdefault(wants.gate or number, []).append((name, wants))
    return tuple(map(_told, gates.values()))


def _told(found: list[tuple[str, Wants]]) -> str:
    names, wants = ", ".join(name for name, _ in found), found[0][1]
    of = f"{'any' if wants.need == 1 else wants.need} of " if wants.gate else ""
    return f"{of}{names} ({wants.words})" if wants.words else f"{of}{names}"
