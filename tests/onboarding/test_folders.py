"""dbt projects, clones with workflows and a cluster's commands, as they lie on a machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.sdk.registry import load
from console.onboarding import local_files
from console.onboarding.schedulers import DetectedScheduler, Machine, WatchReadiness
from tests.onboarding.homes import SECRET, machine, put

REMOTE = '[remote "origin"]\n\turl = {}\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n'


def checked(scheduler: DetectedScheduler) -> DetectedScheduler:
    """Its settings are what its kind takes."""
    given = {name: value for name, value in scheduler.settings.items() if name != "timezone"}
    load(scheduler.kind).options.model_validate(given)
    return scheduler


def program(path: Path, text: str) -> None:
    put(path, f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_dbt_projects_are_found_in_the_home_and_beside_it_and_packages_are_none(tmp_path: Path) -> None:
    here = machine(tmp_path)
    put(tmp_path / "work/shop/dbt_project.yml", "name: 'shop'\nprofile: x\n")
    put(tmp_path / "work/shop/dbt_packages/utils/dbt_project.yml", "name: utils\n")
    put(tmp_path / "opt/dbt/finance/dbt_project.yml", "version: 2\n")
    program(tmp_path / "opt/dbt/.venv/bin/dbt", "exit 0")
    [scheduler] = local_files.dbt_projects(here)
    assert {
        "shop": {"folder": str(tmp_path / "work/shop")},
        "finance": {"folder": str(tmp_path / "opt/dbt/finance"), "dbt": str(tmp_path / "opt/dbt/.venv/bin/dbt")},
    } == checked(scheduler).settings["projects"]
    assert (WatchReadiness.NOW, 2, True) == (scheduler.ready, scheduler.jobs, scheduler.is_wanted)


def test_a_home_without_a_project_has_no_dbt(tmp_path: Path) -> None:
    assert [] == list(local_files.dbt_projects(machine(tmp_path)))


@pytest.mark.parametrize(
    "url", ["git@github.com:acme/etl.git", "https://github.com/acme/etl", "ssh://git@github.com/acme/etl.git"]
)
def test_clones_with_workflows_are_the_repositories_of_a_login(tmp_path: Path, url: str) -> None:
    here = machine(tmp_path, GITHUB_TOKEN=SECRET)
    put(tmp_path / "src/etl/.github/workflows/load.yml", "on: push\n")
    put(tmp_path / "src/etl/.git/config", REMOTE.format(url))
    put(tmp_path / "src/notes/.git/config", REMOTE.format("git@github.com:acme/notes.git"))
    put(tmp_path / "src/elsewhere/.github/workflows/x.yml", "")
    put(tmp_path / "src/elsewhere/.git/config", REMOTE.format("git@gitlab.com:acme/elsewhere.git"))
    [scheduler] = local_files.github(here)
    assert (["acme/etl"], {"env": "GITHUB_TOKEN"}) == (scheduler.settings["repositories"], scheduler.settings["token"])
    assert (WatchReadiness.ON_CONSENT, False) == (checked(scheduler).ready, scheduler.is_wanted), (
        "a person's own token is taken by name alone"
    )
    assert SECRET not in str(scheduler)


def test_a_login_of_gh_is_a_reference_to_its_command(tmp_path: Path) -> None:
    here = machine(tmp_path)
    program(tmp_path / "bin/gh", "exit 0")
    put(tmp_path / ".config/gh/hosts.yml", f"github.com:\n  oauth_token: {SECRET}\n")
    [scheduler] = local_files.github(here)
    assert {"command": [str(tmp_path / "bin/gh"), "auth", "token"]} == checked(scheduler).settings["token"]
    assert (WatchReadiness.NEEDS, True) == (scheduler.ready, "name the repositories" in scheduler.note)
    assert SECRET not in str(scheduler)


def test_without_a_login_no_repository_is_reported(tmp_path: Path) -> None:
    put(tmp_path / "src/etl/.github/workflows/load.yml", "on: push\n")
    assert [] == list(local_files.github(machine(tmp_path)))


@pytest.mark.parametrize(
    "answer, ready, text",
    [
        ("echo 'Slurmctld(primary) at hpc is UP'", WatchReadiness.NOW, "Slurmctld(primary) at hpc is UP"),
        ("echo 'Slurmctld(primary) at hpc is DOWN'; exit 1", WatchReadiness.NEEDS, "is DOWN. Check slurmctld"),
        ("exit 1", WatchReadiness.NEEDS, "it answers nothing"),
    ],
)
def test_a_cluster_whose_commands_are_here_is_found(
    tmp_path: Path, answer: str, ready: WatchReadiness, text: str
) -> None:
    here = machine(tmp_path)
    here = Machine(here.home, {**here.env, "PATH": str(tmp_path / "bin")}, here.etc, ())
    program(tmp_path / "bin/scontrol", answer)
    program(tmp_path / "bin/squeue", "exit 0")
    [scheduler] = local_files.slurm(here)
    assert (ready, True) == (checked(scheduler).ready, text in scheduler.note)


def test_slurms_commands_without_a_cluster_are_none(tmp_path: Path) -> None:
    message = "scontrol: error: resolve_ctls_from_dns_srv: res_nsearch error: Unknown host"
    program(tmp_path / "bin/scontrol", f"echo '{message}' >&2; exit 1")
    program(tmp_path / "bin/squeue", "exit 0")
    assert [] == list(local_files.slurm(Machine(tmp_path, {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}, tmp_path, ())))


def test_a_machine_without_slurm_has_none(tmp_path: Path) -> None:
    assert [] == list(local_files.slurm(Machine(tmp_path, {"PATH": str(tmp_path)})))


def test_a_home_with_very_many_folders_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_files, "MAX_FOLDERS", 5)
    for number in range(20):
        (tmp_path / f"opt/{number}").mkdir(parents=True)
    assert 5 == len(list(local_files.folders(machine(tmp_path))))
