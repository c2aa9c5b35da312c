"""Schedulers that the files and environment of this machine name: Airflow, AWS, Kubernetes, timers, SSH hosts, dbt,
GitHub, Databricks, Slurm.

Nothing is sent to them, and of a secret only its name is shown.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from configparser import ConfigParser, Error
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

from connectors.sdk.fields import masked_head
from connectors.sdk.yaml_document import read_yaml
from console.onboarding.schedulers import DetectedScheduler, Machine, WatchReadiness, text_of
from console.text.lists import listed

REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]{1,2}")
AWS_KINDS = {
    "step_functions": ("aws", "AWS", "Step Functions and their schedules"),
    "glue": ("aws-glue", "AWS Glue", "Glue jobs with their triggers"),
    "batch": ("aws-batch", "AWS Batch", "queues and job definitions of Batch"),
    "emr": ("aws-emr", "Amazon EMR", "steps of EMR clusters"),
    "eventbridge": ("aws-eventbridge", "EventBridge Scheduler", "schedules, without runs"),
}
MAX_NAMES_SHOWN = 6
"""At most so many names are shown, then their number."""


def sections_of(path: Path) -> tuple[ConfigParser, str]:
    """A parsed ini file and its fault; an empty one if it does not exist."""
    parser = ConfigParser(interpolation=None, strict=False, default_section="\0", allow_no_value=True)
    try:
        parser.read_string(text_of(path), str(path))
    except FileNotFoundError:
        return parser, ""
    except OSError as error:
        return parser, f"{path}: {error.strerror}"
    except Error:
        return parser, f"{path}: cannot be read as an ini file"
    return parser, ""


def name_list(names: list[str]) -> str:
    return listed(names, MAX_NAMES_SHOWN)


def airflow(machine: Machine) -> Iterator[DetectedScheduler]:
    """The Airflow whose home is here: its address from its own settings, its DAG files counted."""
    home = Path(machine.env.get("AIRFLOW_HOME") or machine.home / "airflow").expanduser()
    config = Path(machine.env.get("AIRFLOW_CONFIG") or home / "airflow.cfg")
    if not config.is_file():
        return
    parser, wrong = sections_of(config)
    url = _airflow_url(parser)
    user, has_password = machine.env.get("AIRFLOW_USERNAME", "headway"), bool(machine.env.get("AIRFLOW_PASSWORD"))
    settings = {"url": url, "username": user, "password": {"env": "AIRFLOW_PASSWORD"}, "timezone": machine.zone}
    dags = Path(parser.get("core", "dags_folder", fallback="") or home / "dags")
    files = len(list(dags.rglob("*.py"))) if dags.is_dir() else 0
    note = wrong or f"{files} DAG files in {dags}"
    if not has_password:
        note += f"; set AIRFLOW_PASSWORD to the password of {user} (AIRFLOW_USERNAME names another account)"
    ready = WatchReadiness.ON_CONSENT if has_password else WatchReadiness.NEEDS
    yield DetectedScheduler(
        "airflow", f"Airflow at {url}", str(config), ready, note, None, "airflow", "airflow", settings
    )


def _airflow_url(parser: ConfigParser) -> str:
    for section in ("api", "webserver"):
        url = (parser.get(section, "base_url", fallback="") or "").rstrip("/")
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and not parts.username:
            return url
    port = parser.get("api", "port", fallback="") or ""
    return f"http://localhost:{port if port.isdigit() else 8080}"


def aws(machine: Machine) -> Iterator[DetectedScheduler]:
    """Profiles of the AWS files, and keys of the environment, each with its region and what AWS starts jobs with."""
    config = Path(machine.env.get("AWS_CONFIG_FILE") or machine.home / ".aws/config").expanduser()
    shared = Path(machine.env.get("AWS_SHARED_CREDENTIALS_FILE") or machine.home / ".aws/credentials").expanduser()
    parser, wrong = sections_of(config)
    regions = {
        name.removeprefix("profile ").strip(): parser.get(name, "region", fallback="") or ""
        for name in parser.sections()
        if name == "default" or name.startswith("profile ")
    }
    keys, _ = sections_of(shared)
    for name in keys.sections():
        regions[name] = keys.get(name, "region", fallback="") or regions.get(name, "")  # it wins, as for boto3
    fallback = machine.env.get("AWS_REGION") or machine.env.get("AWS_DEFAULT_REGION") or ""
    places = [
        (name, region or fallback, str(config if config.exists() or not region else shared))
        for name, region in regions.items()
    ]
    if machine.env.get("AWS_ACCESS_KEY_ID"):
        places.append(("", fallback, "AWS_ACCESS_KEY_ID in the environment"))
    elif wrong:
        yield DetectedScheduler("aws", "AWS", str(config), WatchReadiness.NEEDS, wrong)
    for kind in AWS_KINDS:
        for place in places:
            yield _profile(machine, kind, *place)


def _profile(machine: Machine, kind: str, profile: str, region: str, where: str) -> DetectedScheduler:
    key, title, note = AWS_KINDS[kind]
    known, label = bool(REGION.fullmatch(region)), profile or "environment"
    settings = {"region": region or "eu-central-1", **({"profile": profile} if profile else {})}
    settings["timezone"] = machine.zone
    if not known:
        note = f"its region is not known: set region in {where}, or AWS_REGION. {note}"
    credentials = f"profile {profile}" if profile else "keys of the environment"
    full, name = f"{title}, {credentials}, {region or 'no region'}", system_name(f"{key}-{label}")
    ready = WatchReadiness.ON_CONSENT if known else WatchReadiness.NEEDS
    return DetectedScheduler(f"{key}:{label}", full, where, ready, note, None, name, kind, settings)


def system_name(text: str) -> str:
    """The text as the name of a system."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-") or "found"


def kube(machine: Machine) -> Iterator[DetectedScheduler]:
    """Contexts of the kubeconfig files; names only, their credentials stay unread."""
    given = machine.env.get("KUBECONFIG", "")
    paths = [Path(part).expanduser() for part in given.split(":") if part] or [machine.home / ".kube/config"]
    for path in paths:
        try:
            text = text_of(path)
        except OSError:
            continue
        contexts = _contexts(text)
        if contexts is None:
            note = "its contexts cannot be read; rewrite it: kubectl config view --flatten"
            yield DetectedScheduler(f"kube:{path.name}", "Kubernetes", str(path), WatchReadiness.NEEDS, note)
        for context in contexts or ():
            yield _context(machine, path, context)


def _context(machine: Machine, path: Path, context: str) -> DetectedScheduler:
    """Selected only by name: a kubeconfig often has a person's own rights in many clusters."""
    ready = WatchReadiness.ON_CONSENT
    note = "CronJobs, with the rights of this context; fewer rights: headway connector grants kubernetes"
    if find_spec("kubernetes") is None:
        ready, note = WatchReadiness.NEEDS, f'{note}; install "headway[kubernetes]" to read it'
    settings = {"kubeconfig": str(path), "context": context, "timezone": machine.zone}
    name, title = system_name(f"k8s-{context}"), f"Kubernetes CronJobs of {context}"
    return DetectedScheduler(f"kube:{context}", title, str(path), ready, note, None, name, "kubernetes", settings)


def _contexts(text: str) -> list[str] | None:
    """Names of the contexts; None if they cannot be read."""
    import yaml  # noqa: PLC0415 - only where a kubeconfig is

    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        config = read_yaml(text, loader)
        return [str(context["name"]) for context in config.get("contexts") or ()] if config else []
    except (ValueError, AttributeError, KeyError, TypeError):
        return None


def timers(machine: Machine) -> Iterator[DetectedScheduler]:
    """systemd timers, where systemd is."""
    command = shutil.which("systemctl", path=machine.env.get("PATH"))
    if command is None:
        return
    argv = [command, "list-timers", "--all", "-o", "json", "--no-pager"]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=machine.seconds, check=False)  # noqa: S603 - fixed note
        rows = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return
    names = [str(row.get("unit", "")) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    if names:
        settings = {"hosts": [{"name": machine.host, "local": True}], "timezone": machine.zone}
        note = f"{name_list(names)}; those of the operating system itself are left out"
        where = "systemctl list-timers"
        yield DetectedScheduler(
            "systemd", "systemd timers", where, WatchReadiness.NOW, note, len(names), "timers", "systemd", settings
        )


DEFAULT_KEY = "~/.ssh/id_ed25519"


def ssh_hosts(machine: Machine) -> Iterator[DetectedScheduler]:
    """Hosts of ~/.ssh/config: any of them may run cron."""
    path = machine.home / ".ssh/config"
    try:
        hosts = list(_hosts(text_of(path)))
    except OSError:
        return
    for host in hosts:
        key = host.get("identityfile", "")
        address = {name: host[old] for name, old in (("address", "hostname"), ("user", "user")) if old in host}
        port = {"port": int(host["port"])} if host.get("port", "").isdigit() else {}
        entry = {"name": host["host"], **address, **port}
        settings = {"hosts": [entry], "key": key or DEFAULT_KEY, "timezone": machine.zone}
        note = "may run cron; Headway signs in with its key and without an agent, once you select it"
        name = system_name(f"cron-{host['host']}")
        key_name = f"ssh:{host['host']}"
        yield DetectedScheduler(
            key_name, f"host {host['host']}", str(path), WatchReadiness.ON_CONSENT, note, None, name, "cron", settings
        )


def _hosts(text: str) -> Iterator[dict[str, str]]:
    """Hosts that are named plainly, each with the first value of each setting, as ssh reads them."""
    blocks: list[tuple[list[str], dict[str, str]]] = []
    for line in text.splitlines():
        setting = re.match(r"\s*([A-Za-z]+)(?:\s*=\s*|\s+)\"?(.+?)\"?\s*$", line)
        if setting is None or line.lstrip().startswith("#"):
            continue
        keyword, value = setting[1].lower(), setting[2]
        if keyword in ("host", "match"):
            blocks.append((value.split() if keyword == "host" else [], {}))
        elif blocks:
            blocks[-1][1].setdefault(keyword, value)
    for names, settings in blocks:
        for name in names:
            if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
                yield {**settings, "host": name}


MAX_FOLDERS = 3000
"""At most so many folders are searched."""
MAX_DEPTH = 3
"""Below a home, /opt and /srv."""
NOT_ENTERED = frozenset({"dbt_packages", "node_modules", "target", "site-packages", "venv"})
MAX_REPOSITORIES = 20
PROGRAMS = (".venv/bin/dbt", "venv/bin/dbt", "../.venv/bin/dbt", "../venv/bin/dbt")
REMOTE = re.compile(
    r"url\s*=\s*(?:https://|ssh://git@|git@)github\.com[/:]([\w.-]{1,100}/[\w.-]{1,100}?)(?:\.git)?/?\s*$", re.M
)


def folders(machine: Machine) -> Iterator[Path]:
    """Folders that may contain projects, the nearest first."""
    return islice(_below(machine), MAX_FOLDERS)


def _below(machine: Machine) -> Iterator[Path]:
    level = [machine.home, *machine.roots]
    for _ in range(MAX_DEPTH):
        level = [child for folder in level for child in _children(folder)]
        yield from level


def _children(folder: Path) -> list[Path]:
    try:
        children = [child for child in folder.iterdir() if child.is_dir() and not child.is_symlink()]
    except OSError:
        return []
    return sorted(child for child in children if not child.name.startswith(".") and child.name not in NOT_ENTERED)


def dbt_projects(machine: Machine) -> Iterator[DetectedScheduler]:
    """All projects as one system of this machine; their artifacts are read in place."""
    projects: dict[str, dict[str, str]] = {}
    for folder in folders(machine):
        if not (folder / "dbt_project.yml").is_file():
            continue
        name = system_name(_project_name(folder / "dbt_project.yml") or folder.name)
        if name not in projects and re.fullmatch(r"/[A-Za-z0-9_@+.,=/-]+", str(folder)):
            projects[name] = {"folder": str(folder), **_program(machine, folder)}
    if projects:
        settings = {"hosts": [{"name": machine.host, "local": True}], "projects": projects, "timezone": machine.zone}
        note = f"{name_list(list(projects))}; the scheduler that starts dbt is a system of its own"
        where = next(iter(projects.values()))["folder"]
        yield DetectedScheduler(
            "dbt", "dbt projects", where, WatchReadiness.NOW, note, len(projects), "dbt", "dbt", settings
        )


def _project_name(path: Path) -> str:
    try:
        name = re.search(r"^name\s*:\s*[\"']?([A-Za-z0-9_.-]{1,80})", text_of(path), re.MULTILINE)
    except OSError:
        return ""
    return name[1] if name else ""


def _program(machine: Machine, folder: Path) -> dict[str, str]:
    """The dbt of its own environment, where it has one and the PATH has none."""
    if shutil.which("dbt", path=machine.env.get("PATH")):
        return {}
    own = next((path for program in PROGRAMS if (path := (folder / program).resolve()).is_file()), None)
    return {"dbt": str(own)} if own is not None else {}


def github(machine: Machine) -> Iterator[DetectedScheduler]:
    """A login of GitHub, and the repositories with workflows that were cloned here."""
    token, where = _github_token(machine)
    if not token:
        return
    repositories = _repositories(machine)
    omitted = len(repositories) - MAX_REPOSITORIES
    note = f"workflows of {name_list(repositories)}, with the rights of this login"
    note += "; fewer rights: headway connector grants github_actions"
    note += f"; {omitted} more were cloned here" * (omitted > 0)
    ready = WatchReadiness.ON_CONSENT
    if not repositories:
        ready = WatchReadiness.NEEDS
        note = 'no clone with workflows is here: name the repositories, as in ["acme/etl"]'
    settings = {"repositories": repositories[:MAX_REPOSITORIES] or ["OWNER/NAME"], "token": token}
    settings |= {"timezone": machine.zone}
    yield DetectedScheduler("github", "GitHub Actions", where, ready, note, None, "github", "github_actions", settings)


def _github_token(machine: Machine) -> tuple[dict[str, object], str]:
    """A reference to the token, and its place; empty without a login."""
    for name in ("GITHUB_TOKEN", "GH_TOKEN"):
        if machine.env.get(name):
            return {"env": name}, f"{name} in the environment"
    hosts = Path(machine.env.get("GH_CONFIG_DIR") or machine.home / ".config/gh") / "hosts.yml"
    program = shutil.which("gh", path=machine.env.get("PATH"))
    if program is None or not hosts.is_file():
        return {}, ""
    return {"command": [program, "auth", "token"]}, str(hosts)


def _repositories(machine: Machine) -> list[str]:
    names = dict.fromkeys([machine.env["GITHUB_REPOSITORY"]] if machine.env.get("GITHUB_REPOSITORY") else [])
    for folder in folders(machine):
        if (folder / ".github/workflows").is_dir():
            try:
                remote = REMOTE.search(text_of(folder / ".git/config"))
            except OSError:
                continue
            names |= {remote[1]: None} if remote else {}
    return list(names)


NO_CLUSTER = re.compile(r"resolve_ctls_from_dns_srv|[Nn]o (?:valid )?config(?:uration)? source|configuration source")
"""Error of Slurm commands that are installed without a configured cluster."""


def databricks(machine: Machine) -> Iterator[DetectedScheduler]:
    """Each profile of the Databricks file, and the environment. Tokens are referenced, never copied."""
    path = Path(machine.env.get("DATABRICKS_CONFIG_FILE") or machine.home / ".databrickscfg").expanduser()
    parser, wrong = sections_of(path)
    for profile in parser.sections():
        if host := parser.get(profile, "host", fallback="") or "":
            token = f"DATABRICKS_TOKEN_{re.sub(r'[^A-Z0-9]', '_', profile.upper())}"
            yield _workspace(machine, profile, host, token, str(path))
    if host := machine.env.get("DATABRICKS_HOST", ""):
        yield _workspace(machine, "environment", host, "DATABRICKS_TOKEN", "DATABRICKS_HOST in the environment")
    if wrong:
        yield DetectedScheduler("databricks", "Databricks", str(path), WatchReadiness.NEEDS, wrong)


def _workspace(machine: Machine, label: str, host: str, token: str, where: str) -> DetectedScheduler:
    try:
        name = urlsplit(host if "//" in host else f"https://{host}").hostname or ""
    except ValueError:
        name = ""
    ready = WatchReadiness.ON_CONSENT if name and machine.env.get(token) else WatchReadiness.NEEDS
    note = "jobs and their tasks, with the rights of this token; fewer rights: headway connector grants databricks"
    if not name:
        note = f"{host!r} is not an address"
    elif not machine.env.get(token):
        note = f"set {token} to a token of that workspace; headway connector grants databricks makes a lesser one"
    settings = {"url": f"https://{name or 'WORKSPACE'}", "token": {"env": token}, "timezone": machine.zone}
    title, system = f"Databricks, {label}, {name or 'no host'}", system_name(f"databricks-{label.lower()}")
    return DetectedScheduler(f"databricks:{label}", title, where, ready, note, None, system, "databricks", settings)


def slurm(machine: Machine) -> Iterator[DetectedScheduler]:
    """The cluster of the Slurm commands on this machine, if one is configured."""
    command = shutil.which("scontrol", path=machine.env.get("PATH"))
    if command is None or shutil.which("squeue", path=machine.env.get("PATH")) is None:
        return
    try:
        done = subprocess.run([command, "ping"], capture_output=True, timeout=machine.seconds, check=False)  # noqa: S603 - fixed note
        reply = (done.stdout + done.stderr).decode("utf-8", "replace").strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        reply = str(error)
    if NO_CLUSTER.search(reply):
        return
    ready = WatchReadiness.NOW if re.search(r"\bis UP\b", reply) else WatchReadiness.NEEDS
    settings = {"hosts": [{"name": machine.host, "local": True}], "timezone": machine.zone}
    note = masked_head((reply.splitlines() or ["it answers nothing"])[0], 200)
    note += "" if ready is WatchReadiness.NOW else ". Check slurmctld and SLURM_CONF"
    yield DetectedScheduler("slurm", "Slurm", "scontrol ping", ready, note, None, "slurm", "slurm", settings)
