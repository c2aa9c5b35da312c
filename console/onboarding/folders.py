"""What lies in folders of this machine: dbt projects, and repositories whose workflows GitHub runs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from console.onboarding.finding import Finding, Machine, Ready, text_of
from console.onboarding.homes import named, system_name

MOST_FOLDERS = 3000
"""So many are looked into: a home may hold a whole disk."""
DEEP = 3
"""Below a home, /opt and /srv."""
NOT_ENTERED = frozenset({"dbt_packages", "node_modules", "target", "site-packages", "venv"})
MOST_REPOSITORIES = 20
PROGRAMS = (".venv/bin/dbt", "venv/bin/dbt", "../.venv/bin/dbt", "../venv/bin/dbt")
REMOTE = re.compile(
    r"url\s*=\s*(?:https://|ssh://git@|git@)github\.com[/:]([\w.-]{1,100}/[\w.-]{1,100}?)(?:\.git)?/?\s*$", re.M
)


def folders(machine: Machine) -> Iterator[Path]:
    """Folders that may be somebody's work, the nearest first."""
    return islice(_below(machine), MOST_FOLDERS)


def _below(machine: Machine) -> Iterator[Path]:
    level = [machine.home, *machine.roots]
    for _ in range(DEEP):
        level = [child for folder in level for child in _children(folder)]
        yield from level


def _children(folder: Path) -> list[Path]:
    try:
        found = [one for one in folder.iterdir() if one.is_dir() and not one.is_symlink()]
    except OSError:
        return []
    return sorted(one for one in found if not one.name.startswith(".") and one.name not in NOT_ENTERED)


def dbt_projects(machine: Machine) -> Iterator[Finding]:
    """All of them as one system of this machine: their artefacts are read where they lie."""
    projects: dict[str, dict[str, str]] = {}
    for folder in folders(machine):
        if not (folder / "dbt_project.yml").is_file():
            continue
        name = system_name(_project_name(folder / "dbt_project.yml") or folder.name)
        if name not in projects and re.fullmatch(r"/[A-Za-z0-9_@+.,=/-]+", str(folder)):
            projects[name] = {"folder": str(folder), **_program(machine, folder)}
    if projects:
        settings = {"hosts": [{"name": machine.host, "local": True}], "projects": projects, "timezone": machine.zone}
        words = f"{named(list(projects))}; what starts dbt is watched by its own kind"
        where = next(iter(projects.values()))["folder"]
        yield Finding("dbt", "dbt projects", where, Ready.NOW, words, len(projects), "dbt", "dbt", settings)


def _project_name(path: Path) -> str:
    try:
        found = re.search(r"^name\s*:\s*[\"']?([A-Za-z0-9_.-]{1,80})", text_of(path), re.MULTILINE)
    except OSError:
        return ""
    return found[1] if found else ""


def _program(machine: Machine, folder: Path) -> dict[str, str]:
    """The dbt of its own environment, where it has one and the PATH has none."""
    if shutil.which("dbt", path=machine.env.get("PATH")):
        return {}
    own = next((path for one in PROGRAMS if (path := (folder / one).resolve()).is_file()), None)
    return {"dbt": str(own)} if own is not None else {}


def github(machine: Machine) -> Iterator[Finding]:
    """A login of GitHub, and the repositories with workflows that were cloned here."""
    token, where = _github_token(machine)
    if not token:
        return
    repositories = _repositories(machine)
    more = len(repositories) - MOST_REPOSITORIES
    words = (
        f"workflows of {named(repositories)}, with this login's own rights; headway grants github_actions makes lesser"
    )
    words += f"; {more} more were cloned here" * (more > 0)
    ready = Ready.ASKED
    if not repositories:
        ready, words = Ready.NEEDS, 'no clone with workflows is here: name the repositories, as in ["acme/etl"]'
    settings = {"repositories": repositories[:MOST_REPOSITORIES] or ["OWNER/NAME"], "token": token}
    settings |= {"timezone": machine.zone}
    yield Finding("github", "GitHub Actions", where, ready, words, None, "github", "github_actions", settings)


def _github_token(machine: Machine) -> tuple[dict[str, object], str]:
    """A reference to the token, and where it is; empty where there is no login."""
    for name in ("GITHUB_TOKEN", "GH_TOKEN"):
        if machine.env.get(name):
            return {"env": name}, f"{name} in the environment"
    hosts = Path(machine.env.get("GH_CONFIG_DIR") or machine.home / ".config/gh") / "hosts.yml"
    program = shutil.which("gh", path=machine.env.get("PATH"))
    if program is None or not hosts.is_file():
        return {}, ""
    return {"command": [program, "auth", "token"]}, str(hosts)


def _repositories(machine: Machine) -> list[str]:
    found = dict.fromkeys([machine.env["GITHUB_REPOSITORY"]] if machine.env.get("GITHUB_REPOSITORY") else [])
    for folder in folders(machine):
        if (folder / ".github/workflows").is_dir():
            try:
                remote = REMOTE.search(text_of(folder / ".git/config"))
            except OSError:
                continue
            found |= {remote[1]: None} if remote else {}
    return list(found)
