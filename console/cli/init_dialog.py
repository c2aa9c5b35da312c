"""Questions of `headway init` about systems elsewhere, each tried at once, and about the first route."""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote, urlsplit

from console.cli.exits import CommandError, Exit
from console.cli.output import print_message, print_parts
from console.cli.prompts import prompt, prompt_hidden, prompt_masked
from console.config.alert_urls import mail_url, pagerduty_url, receiver_kind
from console.onboarding.answers import (
    FORMS,
    airflow_answer,
    dsn_answer,
    hidden_while_typed,
    host_answer,
    is_dsn,
    is_url,
    shown,
    without_password,
)
from console.onboarding.config_writer import write_secret
from console.onboarding.schedulers import DetectedScheduler, Machine, with_unique_names
from console.text.cleaning import clean

Probe = Callable[[DetectedScheduler], str]
"""Tries a system and prints the result: "" if it can be watched with every right, else why not."""


class Secrets:
    """Secrets that a person typed, each in a file below the config's folder that only its owner may read."""

    def __init__(self, config: Path) -> None:
        self._folder = config.parent / "secrets"
        self.files: list[str] = []

    def keep(self, name: str, value: str) -> Mapping[str, object]:
        try:
            reference = write_secret(self._folder, name, value)
        except OSError as error:
            raise CommandError(Exit.USAGE, f"{error.filename or self._folder}: {error.strerror}") from None
        self.files.append(str(reference["file"]))
        return reference


def named_systems(arguments: argparse.Namespace, machine: Machine) -> list[DetectedScheduler]:
    """The systems of --host, --dsn and --airflow. Raises CommandError for an invalid one."""
    try:
        systems = [_named_host(machine, text, arguments.user) for text in arguments.host]
        systems += [_of_variable(machine, variable, arguments.timeout) for variable in arguments.dsn]
        user = machine.env.get("AIRFLOW_USERNAME", "headway")
        systems += [airflow_answer(machine, url, user, {"env": "AIRFLOW_PASSWORD"}) for url in arguments.airflow]
        for number, system in enumerate(systems):
            if any(earlier.key == system.key for earlier in systems[:number]):
                raise ValueError(f"{system.full_title} is named twice")
    except ValueError as error:
        raise CommandError(Exit.USAGE, f"{error}; nothing was written") from None
    return systems


def _named_host(machine: Machine, text: str, users: Sequence[str]) -> DetectedScheduler:
    try:
        system = host_answer(machine, text)
    except ValueError:
        raise ValueError(f"{shown(text, 'the value of --host')} is not a host; write db07 or user@db07:22") from None
    return replace(system, settings={**system.settings, "users": list(users)}) if users else system


def _of_variable(machine: Machine, variable: str, seconds: float) -> DetectedScheduler:
    dsn = machine.env.get(variable, "")
    if not is_dsn(dsn):
        problem = "is not a postgresql:// DSN" if dsn else "is not set"
        raise ValueError(f"{shown(variable, 'the value of --dsn')} {problem}; name the variable that has the DSN")
    return dsn_answer(machine, dsn, {"env": variable}, agent_of(dsn, seconds))


def with_agent(machine: Machine, system: DetectedScheduler, seconds: float) -> DetectedScheduler:
    """The selected system with its job agent as kind, if it is a DSN of the environment: none is opened before."""
    prefix, _, variable = system.key.partition(":")
    if prefix != "dsn" or not system.name:
        return system
    return replace(system, kind=_of_variable(machine, variable, seconds).kind)


def agent_of(dsn: str, seconds: float) -> str:
    """The kind of the database's job agent; pg_cron where that is unknown, so that its probe says why."""
    import psycopg

    from connectors.sdk.transport.libpq import verified
    from console.onboarding.discovery import database_agent

    try:
        parameters = psycopg.conninfo.conninfo_to_dict(dsn)
        verified_parameters = verified({key: str(value) for key, value in parameters.items()})
        return database_agent(psycopg.conninfo.make_conninfo("", **verified_parameters), seconds) or "pg_cron"
    except psycopg.Error:
        return "pg_cron"


def ask_systems(
    machine: Machine, secrets: Secrets, timeout: float, probe: Probe, names: Sequence[str],
    is_listed: Callable[[DetectedScheduler], bool],
) -> list[DetectedScheduler]:  # fmt: skip
    """Systems elsewhere, one after the other until Enter; each is tried at once, and again after its fix. Their names
    differ from `names`; one that is listed already is refused."""
    systems: list[DetectedScheduler] = []
    corrected = ""
    print_parts(["", f"Schedulers on other machines: {FORMS}."])
    while answer := corrected or prompt_masked("Add (Enter to continue): ", hidden_while_typed, without_password):
        corrected = ""
        try:
            system, secret = _system_of(machine, answer, timeout)
            if is_listed(system) or any(known.title == system.title for known in systems):
                raise ValueError(f"{system.title} is already listed")
            system = _with_plain_http(system)
            outcome = _try(partial(_url_problem, system, timeout)) if is_url(answer) else ""
        except ValueError as error:
            print_message(str(error))
            continue
        if outcome not in ("", KEEP):
            corrected = "" if outcome == SKIP else outcome
            continue
        if is_url(answer):
            system, secret = _with_account(system)
        [system] = with_unique_names([system], [*names, *(known.name for known in systems)])
        with TemporaryDirectory(prefix="headway-init-") as folder:
            if outcome != KEEP:
                outcome = _try(partial(probe, _with_secret(system, secret, Secrets(Path(folder) / "headway.toml"))))
        if outcome in ("", KEEP):
            systems.append(_with_secret(system, secret, secrets))
        elif outcome != SKIP:
            corrected = outcome
    return systems


def _with_secret(system: DetectedScheduler, secret: tuple[str, str], secrets: Secrets) -> DetectedScheduler:
    """The system with a reference to the file of its secret."""
    setting, value = secret
    if not setting:
        return system
    return replace(system, settings={**system.settings, setting: secrets.keep(f"{system.name}-{setting}", value)})


def _system_of(machine: Machine, answer: str, timeout: float) -> tuple[DetectedScheduler, tuple[str, str]]:
    """The system that was named, and (setting, value) of its typed secret, both empty without one."""
    if is_url(answer):
        return airflow_answer(machine, answer, "headway", {"env": "AIRFLOW_PASSWORD"}), ("", "")
    if is_dsn(answer):
        return dsn_answer(machine, answer, {}, agent_of(answer, timeout)), ("dsn", answer)
    if is_dsn(machine.env.get(answer, "")):
        return _of_variable(machine, answer, timeout), ("", "")
    return host_answer(machine, answer), ("", "")


def _with_plain_http(system: DetectedScheduler) -> DetectedScheduler:
    """The system with plain_http, if its http:// address needs it and the person agrees."""
    plain = replace(system, settings={**system.settings, "plain_http": True})
    if not settings_problem(system) or settings_problem(plain):
        return system
    agreed = prompt("Plain HTTP: the password is sent unencrypted. Type yes to use it: ") == "yes"
    return plain if agreed else system


def _with_account(system: DetectedScheduler) -> tuple[DetectedScheduler, tuple[str, str]]:
    """The Airflow with the account that is typed, and (setting, value) of its password."""
    user = prompt("Account in Airflow (Enter for headway): ") or "headway"
    password = prompt_hidden("Its password: ") if sys.stdin.isatty() else ""
    return replace(system, settings={**system.settings, "username": user, "password": {}}), ("password", password)


class _LoginNeeded(Exception):
    """A server answered, and the next request needs the password."""


def settings_problem(system: DetectedScheduler) -> str:
    """Why its kind does not accept the settings of a system, with the fix; "" if it does."""
    from pydantic import ValidationError

    from connectors.sdk import registry

    try:
        registry.load(system.kind).options(**{k: v for k, v in system.settings.items() if k != "timezone"})
    except ValidationError as error:
        return "; ".join(fault["msg"].removeprefix("Value error, ") for fault in error.errors())
    return ""


def _url_problem(system: DetectedScheduler, seconds: float) -> str:
    """Prints and returns why no Airflow answers at its URL; "" if one does. No login is sent. Raises ValueError for a
    URL that no config may have."""
    from connectors.sdk import registry
    from connectors.sdk.errors import ConnectorError

    def no_secret(reference: object) -> str:
        raise _LoginNeeded

    if problem := settings_problem(system):
        raise ValueError(problem)
    kind = registry.load(system.kind)
    options = kind.options(**{k: v for k, v in system.settings.items() if k != "timezone"})
    connector = kind.open(options, kind.targets(options)[0], no_secret)
    try:
        connector.probe(seconds)
    except _LoginNeeded:
        pass
    except ConnectorError as error:
        print_message(f"  {error}")
        return str(error)
    finally:
        connector.close()
    return ""


KEEP, SKIP = "k", "s"
_CHOICES = {"": "", "r": "", "retry": "", "k": KEEP, "keep": KEEP, "s": SKIP, "skip": SKIP}
RETRY = "[Enter] retry · k keep without access · s skip · or type it corrected: "


def _try(probe: Callable[[], str]) -> str:
    """Probes until there is no problem, then ""; or before that KEEP, SKIP or a corrected answer."""
    while probe():
        answer = prompt_masked(RETRY, hidden_while_typed, without_password)
        if choice := _CHOICES.get(answer.lower(), answer):
            return choice
    return ""


def _host_commands(system: DetectedScheduler) -> Iterator[str]:
    from connectors.sdk.transport.ssh import known_hosts

    host: Mapping[str, Any] = system.settings["hosts"][0]
    if host.get("local"):
        return
    address, port = str(host.get("address", host["name"])), int(host.get("port", 22))
    if not Path(str(system.settings["key"])).expanduser().is_file():
        yield f"ssh-keygen -q -t ed25519 -N '' -f {system.settings['key']}"
    trusted = Path("~/.ssh/known_hosts").expanduser()
    known_as = address if port == 22 else f"[{address}]:{port}"
    if not trusted.exists() or not known_hosts(trusted).keys_of([known_as]):
        yield f"ssh-keyscan -p {port} {quote(address)} >> ~/.ssh/known_hosts"
    by_alias = system.where.endswith(".ssh/config")
    target = quote(f"root@{host['name'] if by_alias else address}")
    users = "".join(f" --user {quote(user)}" for user in system.settings.get("users", ()))
    yield f"headway connector grants cron{users} | ssh {'' if by_alias or port == 22 else f'-p {port} '}{target} sh"


def has_unknown_name(system: DetectedScheduler) -> bool:
    """Whether its host has a name that this machine cannot resolve: it has to be corrected first."""
    host: Mapping[str, Any] = next(iter(system.settings.get("hosts", ())), {})
    if host.get("local") or host.get("via") or not host:
        return False
    try:
        socket.getaddrinfo(str(host.get("address", host["name"])), None)
    except OSError:
        return True
    return False


def setup_commands(system: DetectedScheduler) -> Iterator[str]:
    """The commands that give Headway access, one per line, to be copied."""
    if system.kind == "cron":
        yield from _host_commands(system)
    elif "dsn" in system.settings:
        reference: Mapping[str, object] = system.settings["dsn"]
        login = f"--dsn {reference['env']}" if "env" in reference else f"--login {_user_of(reference)}"
        server, _, database = system.address.partition("/")
        host_name, _, port_number = server.rpartition(":")
        to = f"-h {quote(host_name)} -p {port_number} -U postgres {quote(database)}"
        yield f"headway connector grants {system.kind} {login} | psql {to}"


def _user_of(reference: Mapping[str, object]) -> str:
    dsn = Path(str(reference["file"])).read_text(encoding="utf-8").strip()
    return quote(unquote(urlsplit(dsn).username or "headway"))


def print_commands(heading: str, lines: Sequence[str]) -> None:
    """Each on one unfolded line, so that it can be copied."""
    if lines:
        print_parts([f"  {heading}"])
    for line in lines:
        print(f"    {clean(line)}")


SendTest = Callable[[str], str]
"""Sends a test message by a URL; why it was not accepted, or ""."""


def named_route(text: str, machine: Machine, secrets: Secrets, send: SendTest) -> Mapping[str, object]:
    """The reference to the URL of --route: a variable that has it, or what it is made of (a mail address, by a mail
    server on this machine; a PagerDuty key). Raises CommandError where no test message is accepted."""
    in_variable = machine.env.get(text, "")
    url = _plain_url(in_variable) or in_variable or (_plain_url(text) if receiver_kind(text) == "mail" else "")
    if not url:
        raise CommandError(
            Exit.USAGE,
            f"{shown(text, 'the value of --route')} is not a mail address or a variable that is set. Fix: export the"
            " URL as a variable, as in --route ONCALL_MAIL, or type it at the prompt of headway init",
        )
    if fault := send(url):
        raise CommandError(Exit.PROBLEM, f"the route did not accept the test message: {fault}; nothing was written")
    print_parts(["  route oncall: the test message was accepted"])
    return {"env": text} if url == in_variable else secrets.keep("oncall-url", url)


def _plain_url(text: str) -> str:
    kind = receiver_kind(text)
    if kind == "mail":
        return mail_url(text, "localhost")
    return pagerduty_url(text) if kind == "pagerduty" else text if kind == "url" else ""


def ask_route(machine: Machine, secrets: Secrets, send: SendTest) -> Mapping[str, object] | None:
    """Where alerts go, proved by a message that was accepted; None for nowhere yet."""
    print_parts(["", "Where do alerts go? A mail address, Slack webhook, PagerDuty integration key or apprise URL."])
    while answer := prompt_hidden("Send alerts to (not echoed; Enter: nowhere yet): "):
        in_variable = machine.env.get(answer, "")
        try:
            is_mail = receiver_kind(answer) == "mail"
            url = _mail_answer(answer) if is_mail else _plain_url(in_variable or answer) or in_variable
        except ValueError as error:
            print_message(str(error))
            continue
        fault = send(url) if url else "not a receiver. Fix: oncall@example.com, https://hooks.slack.com/services/…"
        if not fault:
            print_parts([f"  the test message{f' to {answer}' if is_mail else ''} was accepted: look for it"])
            return {"env": answer} if url == in_variable else secrets.keep("oncall-url", url)
        print_message(f"  {fault}")
    return None


def _mail_answer(to: str) -> str:
    server = prompt("Mail server (Enter for localhost, or mail.example.com:587): ") or "localhost"
    user = prompt("Login there (Enter for none): ")
    return mail_url(to, server, user, prompt_hidden("Password: ") if user else "")
