"""The demo's config as text: what a person would have written for this estate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from console.demo import estate
from console.demo.estate import Job, Service

SINK = "HEADWAY_DEMO_SINK"
"""The environment variable that holds the alert route's URL: a listener of the demo's own on loopback."""


def config_text(night: Path, actions: Path, clock_file: Path) -> str:
    """TOML of the whole estate; the files are those of one play."""
    tables = ['[estate]\nname = "demo night"\nstore = "headway.db"\nstarts_in = "live"\n']
    tables += ['[acting]\ncards = ["owner", "runbook", "rerun"]\n']
    tables += [_system(name, night, actions, clock_file) for name in estate.KINDS]
    tables += [_job(job) for job in estate.JOBS]
    tables += _dependencies()
    tables += [_service(service) for service in estate.SERVICES]
    tables += [f"[routes.oncall]\nurls = [{{ env = {_text(SINK)} }}]\n", '[alerts]\ndefault_route = "oncall"\n']
    return "\n".join(tables)


def _text(value: str | Path) -> str:
    return json.dumps(str(value))


def _system(name: str, night: Path, actions: Path, clock_file: Path) -> str:
    return (
        f'[systems.{name}]\nkind = "replay"\nas = {_text(estate.KINDS[name])}\nsystem = {_text(name)}\n'
        f"night = {_text(night)}\nactions = {_text(actions)}\nclock_file = {_text(clock_file)}\n"
        f'poll_every = "15s"\ntimezone = {_text(estate.ZONE)}\n'
    )


def _job(job: Job) -> str:
    plain = job.native_id.partition(":")[2] or job.native_id
    runbook = f"https://runbooks.example/{plain.replace('_', '-')}"
    declared = estate.rerun_of(plain)
    rerun = "" if declared == "ask" else f"rerun = {_text(declared)}\n"
    return f"[jobs.{_text(job.name)}]\nowner = {_text(job.owner)}\nrunbook = {_text(runbook)}\n{rerun}"


def _dependencies() -> Iterator[str]:
    for job in estate.JOBS:
        for upstream in job.reads:
            yield f"[[dependencies]]\nupstream = {_text(upstream)}\ndownstream = {_text(job.name)}\n"


def _service(service: Service) -> str:
    ends = ", ".join(_text(name) for name in service.delivered_by)
    return (
        f"[services.{service.name}]\ntitle = {_text(service.title)}\ndelivered_by = [{ends}]\n"
        f"deadline = {_text(service.deadline)}\ntimezone = {_text(estate.ZONE)}\ntier = {service.tier}\n"
        f"owner = {_text(service.owner)}\nrunbook = {_text(f'https://runbooks.example/{service.name}')}\n"
    )
