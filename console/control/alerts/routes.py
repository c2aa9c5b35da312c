"""Who is told: the routes of the root cause and of the services that it hurts, as far as they are live."""

from __future__ import annotations

from console.control.cases import Case
from console.control.picture import Picture
from console.model.decisions import IncidentDecision


def routes(picture: Picture, case: Case, decision: IncidentDecision) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The routes that are told, and those that would be if nothing were in shadow, each once: of the root's job where
    its system is live, of the hurt services that are; the default route where nobody else is named, or for one of many
    jobs with a shared root nobody is."""
    modes, hurt = picture.estate.modes, {each.service for each in decision.services}
    roots = [picture.job(run.job_id) for run in case.group.roots()]
    target = case.group.target
    systems = [job.system for job in roots] or [target.system if target is not None else ""]
    is_live = any(map(modes.system_is_live, systems))
    nobody = picture.estate.settings.default_route if len(roots) > 1 else ()
    wanted = [(name, modes.system_is_live(job.system)) for job in roots for name in job.notify or nobody]
    for service in picture.estate.services:
        if service.name in hurt:
            wanted += [(name, modes.service_is_live(service.name)) for name in service.notify]
            is_live = is_live or modes.service_is_live(service.name)
    wanted = wanted or [(name, is_live) for name in picture.estate.settings.default_route]
    live = dict.fromkeys(name for name, told in wanted if told)
    return tuple(live), tuple(dict.fromkeys(name for name, told in wanted if not told and name not in live))
