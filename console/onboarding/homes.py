"""What files of a home, and the environment, say of schedulers elsewhere. Nothing is sent to them, and of secrets
nothing but the name is told."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from configparser import ConfigParser, Error
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from console.onboarding.finding import Finding, Machine, Ready, text_of

REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]{1,2}")
AWS_KINDS = {
    "step_functions": ("aws", "AWS", "Step Functions and their schedules"),
    "glue": ("aws-glue", "AWS Glue", "Glue jobs with their triggers"),
    "batch": ("aws-batch", "AWS Batch", "queues and job definitions of Batch"),
    "eventbridge": ("aws-eventbridge", "EventBridge Scheduler", "schedules, which tell of no run"),
}
SOME = 6
"""So many names are told; of more, the number."""


def sections_of(path: Path) -> tuple[ConfigParser, str]:
    """An ini file, and what is wrong with it, in words; an empty one where it is not there."""
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


def named(names: list[str]) -> str:
    more = f" and {len(names) - SOME} more" if len(names) > SOME else ""
    return ", ".join(names[:SOME]) + more


def airflow(machine: Machine) -> Iterator[Finding]:
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
    words = wrong or f"{files} DAG files in {dags}"
    if not has_password:
        words += f"; set AIRFLOW_PASSWORD to the password of {user} (AIRFLOW_USERNAME names another account)"
    ready = Ready.ASKED if has_password else Ready.NEEDS
    yield Finding("airflow", f"Airflow at {url}", str(config), ready, words, None, "airflow", "airflow", settings)


def _airflow_url(parser: ConfigParser) -> str:
    for section in ("api", "webserver"):
        found = (parser.get(section, "base_url", fallback="") or "").rstrip("/")
        parts = urlsplit(found)
        if parts.scheme in ("http", "https") and parts.hostname and not parts.username:
            return found
    port = parser.get("api", "port", fallback="") or ""
    return f"http://localhost:{port if port.isdigit() else 8080}"


def aws(machine: Machine) -> Iterator[Finding]:
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
        yield Finding("aws", "AWS", str(config), Ready.NEEDS, wrong)
    for kind in AWS_KINDS:
        for place in places:
            yield _profile(machine, kind, *place)


def _profile(machine: Machine, kind: str, profile: str, region: str, where: str) -> Finding:
    key, title, words = AWS_KINDS[kind]
    known, label = bool(REGION.fullmatch(region)), profile or "environment"
    settings = {"region": region or "eu-central-1", **({"profile": profile} if profile else {})}
    settings["timezone"] = machine.zone
    if not known:
        words = f"its region is not known: set region in {where}, or AWS_REGION. {words}"
    who = f"profile {profile}" if profile else "keys of the environment"
    full, name = f"{title}, {who}, {region or 'no region'}", system_name(f"{key}-{label}")
    ready = Ready.ASKED if known else Ready.NEEDS
    return Finding(f"{key}:{label}", full, where, ready, words, None, name, kind, settings)


def system_name(text: str) -> str:
    """The text as the name of a system."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-") or "found"


def kube(machine: Machine) -> Iterator[Finding]:
    """Contexts of the kubeconfig files; names only, their credentials stay unread."""
    given = machine.env.get("KUBECONFIG", "")
    paths = [Path(one).expanduser() for one in given.split(":") if one] or [machine.home / ".kube/config"]
    for path in paths:
        try:
            text = text_of(path)
        except OSError:
            continue
        contexts = _contexts(text)
        if not contexts and re.search(r"contexts[\"']?\s*:\s*(?:\n?\s*-|\[\s*[^\s\]])", text):
            words = "its contexts cannot be read; write it anew: kubectl config view --flatten"
            yield Finding(f"kube:{path.name}", "Kubernetes", str(path), Ready.NEEDS, words)
        for context in contexts:
            yield _context(machine, path, context)


def _context(machine: Machine, path: Path, context: str) -> Finding:
    """Taken where it is named, never by itself: a kubeconfig often has a person's own rights, in many clusters."""
    ready, words = Ready.ASKED, "CronJobs, with this context's own rights; headway grants kubernetes makes lesser ones"
    if find_spec("kubernetes") is None:
        ready, words = Ready.NEEDS, f'{words}; install "headway[kubernetes]" to read it'
    settings = {"kubeconfig": str(path), "context": context, "timezone": machine.zone}
    name, title = system_name(f"k8s-{context}"), f"Kubernetes CronJobs of {context}"
    return Finding(f"kube:{context}", title, str(path), ready, words, None, name, "kubernetes", settings)


def _contexts(text: str) -> list[str]:
    """Names of the contexts, from YAML as kubectl writes it or in flow style, or from JSON."""
    try:
        return [str(one["name"]) for one in json.loads(text)["contexts"]]
    except (ValueError, KeyError, TypeError):
        pass
    if flow := re.search(r"(?:^|[{,]\s*)[\"']?contexts[\"']?:\s*\[([^\]]*)\]", text, re.MULTILINE):
        return re.findall(r"(?:^|[\s{,])[\"']?name[\"']?:\s*[\"']?([^\s\"',}]+)", flow[1])
    block = re.search(r"^contexts:[ \t]*\n((?:[ \t-].*\n?)*)", text, re.MULTILINE)
    return re.findall(r"^(?:- |  )name:[ \t]*[\"']?([^\s\"']+)", block[1], re.MULTILINE) if block else []


def timers(machine: Machine) -> Iterator[Finding]:
    """systemd timers, where systemd is."""
    command = shutil.which("systemctl", path=machine.env.get("PATH"))
    if command is None:
        return
    argv = [command, "list-timers", "--all", "-o", "json", "--no-pager"]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=machine.seconds, check=False)  # noqa: S603 - fixed words
        rows = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return
    names = [str(row.get("unit", "")) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    if names:
        settings = {"hosts": [{"name": machine.host, "local": True}], "timezone": machine.zone}
        words = f"{named(names)}; those of the operating system itself are left out"
        where = "systemctl list-timers"
        yield Finding("systemd", "systemd timers", where, Ready.NOW, words, len(names), "timers", "systemd", settings)


def ssh_hosts(machine: Machine) -> Iterator[Finding]:
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
        settings = {"hosts": [entry], "key": key or "~/.ssh/id_ed25519", "timezone": machine.zone}
        words = "may run cron; Headway signs in with its key and without an agent, if you take it"
        name = system_name(f"cron-{host['host']}")
        key_name = f"ssh:{host['host']}"
        yield Finding(key_name, f"host {host['host']}", str(path), Ready.ASKED, words, None, name, "cron", settings)


def _hosts(text: str) -> Iterator[dict[str, str]]:
    """Hosts that are named plainly, each with the first value of each setting, as ssh reads them."""
    blocks: list[tuple[list[str], dict[str, str]]] = []
    for line in text.splitlines():
        found = re.match(r"\s*([A-Za-z]+)(?:\s*=\s*|\s+)\"?(.+?)\"?\s*$", line)
        if found is None or line.lstrip().startswith("#"):
            continue
        word, value = found[1].lower(), found[2]
        if word in ("host", "match"):
            blocks.append((value.split() if word == "host" else [], {}))
        elif blocks:
            blocks[-1][1].setdefault(word, value)
    for names, settings in blocks:
        for name in names:
            if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
                yield {**settings, "host": name}
