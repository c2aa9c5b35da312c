"""Which root cause belongs to which open incident: one row per cause, the older one where two turn out to be one.

An open incident goes on with the cause that it was opened for; with the cause of which its root is a symptom after all;
or, its root repaired, with the followers that the root left red or stale. It is over when all of them are green. A
follower that was tried again on the repaired data and failed has a cause of its own: it is split off. A root that is
red again soon after its incident closed reopens it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from connectors.contract import Evidence, State
from console.control.causes import Group, stale_below
from console.control.picture import CLOCKS, Picture
from console.control.readiness import ENOUGH
from console.model.findings import Finding
from console.model.values import IncidentFacts, RunFacts

UNWATCHED = "it is watched no more: the config names it no longer"


@dataclass(slots=True)
class Case:
    """One cause with the incident that tells it; without one it is new."""

    incident: IncidentFacts | None
    group: Group
    stale: list[RunFacts] = field(default_factory=list)
    merges: tuple[int, ...] = ()
    close_reason: str = ""
    """Not empty: it is over."""
    reopened: bool = False
    """Its incident had closed, and comes back."""
    split_from: int | None = None
    """Of a new cause: the incident that it was a part of, until it was tried anew and failed by itself."""
    evidence: tuple[Finding, ...] = ()
    """What else the rules found of its root and of what it left red."""
    feeds: tuple[str, ...] = ()
    """Names of the services below it, where a finding is its cause."""
    recovered: bool = False
    """True when it is over because it is green again, not because it is out of view."""
    awaits: tuple[tuple[str, date], ...] = ()
    """Service days that it made late: its cause is over, and they are not delivered yet. Until they are, it goes on."""
    awaits_words: str = ""

    def broken(self) -> list[RunFacts]:
        """The root and everything red or stale, each once."""
        runs = [*([self.group.root] if self.group.root is not None else []), *self.group.red, *self.stale]
        return list({(run.job_id, run.period_key): run for run in runs}.values())


def cases(picture: Picture, groups: Sequence[Group]) -> list[Case]:
    """Every open incident and every new cause, once each; open incidents first, oldest first."""
    owners: dict[int, list[IncidentFacts]] = {place: [] for place in range(len(groups))}
    free: list[IncidentFacts] = []
    parents: dict[int, int] = {}
    for incident in sorted(picture.estate.incidents, key=lambda each: (each.opened_at, each.id)):
        parents |= _parted(picture, incident, groups)
        place = _same_cause(incident, groups)
        (free if place is None else owners[place]).append(incident)
    found: list[Case] = []
    for incident in free:
        unclaimed = {
            place: groups[place] for place, held in owners.items() if not held and groups[place].finding is None
        }
        followers = _followers(picture, incident, unclaimed)
        anew = [place for place in followers if _tried_anew(picture, incident, groups[place])]
        parents |= dict.fromkeys(anew, incident.id)
        followers = [place for place in followers if place not in anew]
        known = {place: groups[place] for place in owners if place not in parents}
        other = None if followers or anew else _explained_by(picture, incident, known)
        for place in followers:
            del owners[place]
        if other is not None:
            owners[other].append(incident)
        else:
            found.append(_going_on(picture, incident, [run for place in followers for run in groups[place].red]))
    before = _Before(picture)
    found += [_case(groups[place], held, parents.get(place), before) for place, held in owners.items()]
    for case in found:
        case.stale = _stale(picture, case)
    return sorted(found, key=_age)


class _Before:
    """Incidents that closed lately, each of which one cause may reopen."""

    def __init__(self, picture: Picture) -> None:
        self._within = picture.estate.declared.incidents.reopen_within
        self._left = sorted(picture.estate.closed, key=lambda each: (each.closed_at or picture.now, each.id))

    def reopened_by(self, group: Group) -> IncidentFacts | None:
        """The one that closed last with the same root, not long before the cause; it is given once."""
        found = [each for each in self._left if _same_root(each, group) and self._is_soon(each, group)]
        if found:
            self._left.remove(found[-1])
        return found[-1] if found else None

    def parent_of(self, group: Group) -> int | None:
        """The one that closed last of those that had hurt the very run."""
        found = [each for each in self._left if group.root is not None and self._is_soon(each, group)]
        found = [each for each in found if group.root and group.root.id in (each.hurt_run_ids or ())]
        return found[-1].id if found else None

    def _is_soon(self, incident: IncidentFacts, group: Group) -> bool:
        return incident.closed_at is not None and group.since - incident.closed_at < self._within


def _same_root(incident: IncidentFacts, group: Group) -> bool:
    if group.target is not None:
        return group.target.id == incident.root_target_id
    if group.shared or group.check:
        return (group.shared, group.check) == (incident.shared, incident.root_check) and group.bd == incident.bd
    return group.root is not None and (group.root.job_id, group.rule) == (incident.root_job_id, incident.rule)


def _case(group: Group, owners: Sequence[IncidentFacts], split_from: int | None, before: _Before) -> Case:
    """The oldest of the incidents goes on with the cause, the others are merged into it; without one it is that which
    the cause reopens, or a new one."""
    ordered = sorted(owners, key=lambda each: (each.opened_at, each.id))
    if ordered:
        return Case(ordered[0], group, merges=tuple(each.id for each in ordered[1:]))
    incident = before.reopened_by(group)
    if incident is not None:
        return Case(incident, group, reopened=True)
    return Case(None, group, split_from=before.parent_of(group) if split_from is None else split_from)


def run_of(picture: Picture, incident: IncidentFacts) -> RunFacts | None:
    """The incident's root run; None for a target, and for what the estate shows no more."""
    runs = picture.runs.get(incident.root_job_id or 0, ())
    return next((run for run in runs if run.period_key == incident.root_period_key), None)


def hurt_runs(picture: Picture, incident: IncidentFacts) -> list[RunFacts]:
    """The runs that it has told as root, red, stale or repaired, as they are now."""
    hurt = incident.member_run_ids if incident.hurt_run_ids is None else incident.hurt_run_ids
    return [run for number in sorted(hurt) if (run := picture.run_by_id(number)) is not None]


def _same_cause(incident: IncidentFacts, groups: Sequence[Group]) -> int | None:
    """The place of the group with the incident's own root, else of the one in which its root is a symptom."""
    if incident.shared:
        return next((place for place, each in enumerate(groups) if each.told_by == incident.id), None)
    for place, group in enumerate(groups):
        if incident.id in group.explains:
            return place
        if group.target is not None and group.target.id == incident.root_target_id:
            return place
        if group.check and (group.check, group.bd) == (incident.root_check, incident.bd):
            return place
        if group.root is not None and group.root.job_id == incident.root_job_id and _same_day(incident, group):
            return place
    if incident.root_target_id is not None:
        return None
    return next((place for place, each in enumerate(groups) if each.holds(incident.root_job_id, incident.bd)), None)


def _same_day(incident: IncidentFacts, group: Group) -> bool:
    """A finding about a job goes on over the days."""
    return group.bd == incident.bd or (group.finding is not None and group.finding.rule == incident.rule)


def _followers(picture: Picture, incident: IncidentFacts, groups: Mapping[int, Group]) -> list[int]:
    """The places of groups that are no causes: what the incident's root, not red any more, had left red."""
    root = run_of(picture, incident)
    if root is None:
        return []
    hurt = {run.id for run in hurt_runs(picture, incident)}
    below = picture.graph.descendants(root.job_id)
    return [
        place
        for place, group in groups.items()
        if group.root is not None
        and group.bd == incident.bd
        and (group.root.id in hurt or (group.root.job_id in below and picture.is_stale(group.root)))
    ]


def _tried_anew(picture: Picture, incident: IncidentFacts, group: Group) -> bool:
    """True for a follower that started again when all that it reads was good, the incident's root too, and failed."""
    root, red = run_of(picture, incident), group.root
    good_at = picture.standing(root).good_at if root is not None else None
    if red is None or red.started_at is None or good_at is None or picture.is_stale(red):
        return False
    return red.started_at + CLOCKS >= good_at


def _explained_by(picture: Picture, incident: IncidentFacts, groups: Mapping[int, Group]) -> int | None:
    """The place of another cause that explains what the incident had hurt."""
    if incident.root_target_id is not None:
        return None
    hurt = {run.id for run in hurt_runs(picture, incident)}
    return next((place for place, group in groups.items() if hurt & {run.id for run in group.red}), None)


def _going_on(picture: Picture, incident: IncidentFacts, red: list[RunFacts]) -> Case:
    """The case of an incident whose root is not red any more."""
    if incident.root_target_id is not None:
        return _answered(picture, incident)
    if incident.root_check:
        return _passed(picture, incident)
    if incident.shared:
        return _shared_over(picture, incident)
    root = run_of(picture, incident)
    case = Case(incident, Group(incident.bd, incident.failed_since, root, None, red))
    if incident.rule and not red and not _stale(picture, case) and not (root is not None and root.state.is_red):
        case.close_reason, case.recovered = "what the rule found holds no longer", True
    elif root is None:
        case.close_reason = _out_of_view(picture, incident)
    elif not red and not _stale(picture, case):
        case.close_reason = _settled(picture, root)
        case.recovered = bool(case.close_reason)
    return case


def _settled(picture: Picture, root: RunFacts) -> str:
    """Why the incident is over; empty while its root is neither good nor given up by a person."""
    if picture.is_excused(root):
        return "the new schedule is accepted: nothing is missing any more"
    if picture.is_green(root):
        if root.evidence is Evidence.ASSERTED:
            return "marked OK by a person, and nothing that it had hurt is red or stale"
        return "green again, with everything that it had hurt"
    if root.state is State.SKIPPED and root.evidence is Evidence.ASSERTED:
        return "skipped by a person, and nothing that it had hurt is red or stale"
    return "superseded: a later run of the same job went well" if picture.is_superseded(root) else ""


def _answered(picture: Picture, incident: IncidentFacts) -> Case:
    target = picture.estate.targets.get(incident.root_target_id or 0)
    case = Case(incident, Group(incident.bd, incident.failed_since, None, target))
    if target is None:
        case.close_reason = UNWATCHED
    elif target.failing_since is None:
        case.close_reason, case.recovered = "it answers again", True
    return case


def _passed(picture: Picture, incident: IncidentFacts) -> Case:
    """The case of a check that no service waits for any more."""
    group = Group(incident.bd, incident.failed_since, None, None, [], incident.root_check)
    known = picture.estate.checks.get((incident.root_check, incident.bd))
    if known is not None and known.last.state in ENOUGH:
        return Case(incident, group, close_reason=f"it passes: {known.last.words}", recovered=True)
    return Case(incident, group, close_reason="no service waits for it any more")


def _shared_over(picture: Picture, incident: IncidentFacts) -> Case:
    """Of a shared root of which nothing is red: over when all that had failed for it is good. What is red by now has a
    cause of its own."""
    hurt = [run for run in hurt_runs(picture, incident) if not picture.is_red_now(run)]
    group = Group(incident.bd, incident.failed_since, None, None, shared=incident.shared, causes=hurt)
    case = Case(incident, group)
    if not hurt:
        case.close_reason = _out_of_view(picture, incident)
    elif all(_settled(picture, run) for run in hurt) and not _stale(picture, case):
        case.close_reason, case.recovered = "all that had failed for it are good again", True
    return case


def _parted(picture: Picture, incident: IncidentFacts, groups: Sequence[Group]) -> dict[int, int]:
    """Place -> incident of the causes that were told as a part of a shared root, and failed by themselves since."""
    hurt = incident.hurt_run_ids or frozenset()
    if not incident.shared:
        return {}
    parted = (place for place, each in enumerate(groups) if each.root is not None and each.root.id in hurt)
    return dict.fromkeys(parted, incident.id)


def _out_of_view(picture: Picture, incident: IncidentFacts) -> str:
    if incident.root_job_id not in picture.estate.jobs and not incident.shared:
        return UNWATCHED
    hours = picture.estate.settings.lookback.total_seconds() / 3600
    return f"out of view: its root is older than {hours:.0f} h and was not seen green"


def _stale(picture: Picture, case: Case) -> list[RunFacts]:
    """What the cause left stale and is so still; upstreams first."""
    hurt = [run.job_id for run in case.group.red]
    hurt += [case.group.root.job_id] if case.group.root is not None else []
    told = hurt_runs(picture, case.incident) if case.incident is not None else []
    # What is red by itself is another's cause; what is stale is one below only where its own cause is here.
    hurt += [run.job_id for run in told if not picture.is_red_now(run) and not picture.is_stale(run)]
    days = sorted({case.group.bd, *(run.bd for run in case.group.causes)})
    while True:
        found = [run for bd in days for run in stale_below(picture, hurt, bd)]
        looped = {run.job_id for run in found}.difference(hurt)
        if not looped:
            return found
        hurt += sorted(looped)  # through a loop it comes back to the jobs that it came from


def _age(case: Case) -> tuple[bool, datetime, int]:
    if case.incident is None:
        return True, case.group.since, 0
    return False, case.incident.opened_at, case.incident.id
