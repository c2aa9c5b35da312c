"""`headway init`: what schedulers are here, a config in shadow mode that watches them, and a first service."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from console.clean import clean_line
from console.cli.common import Stop, agreed, answer, count, say, say_lines
from console.cli.exits import Exit
from console.cli.first_writing import probed, put
from console.onboarding.finding import Finding, Machine, Ready
from console.onboarding.look import look
from console.onboarding.writing import Taken, config_text, kept_beside
from console.paths import config_path, user_config

FIRST_POLL_SECONDS = 900.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="ask nothing: take all that can be watched, and the service")
    parser.add_argument(
        "--only", action="append", default=[], metavar="KEY", help="only this finding, as the list names it; repeatable"
    )
    parser.add_argument("--print", action="store_true", help="print the config instead of writing it; ask nobody")
    parser.add_argument("--no-poll", action="store_true", help="write the config and stop: no poll, no service")
    parser.add_argument("--timeout", type=float, default=20.0, metavar="SECONDS", help="for each probe (20)")


def run(arguments: argparse.Namespace) -> int:
    """Looks, asks, writes, probes, polls and proposes; what a person leaves by Ctrl-C is whole as far as it came."""
    path = _file_of(arguments)
    asks = sys.stdin.isatty() and not arguments.yes and not arguments.print
    _refuse_other(path, arguments, asks)
    machine = Machine(Path.home(), os.environ)
    found = _looked(machine)
    chosen = _only(found, arguments.only)
    if arguments.print:
        print(_text(machine, found, chosen, {}), end="")
        return Exit.OK
    say_lines(_listed(found))
    if not any(one.name for one in found):
        say_lines(_nothing_here(path))
        return Exit.PROBLEM
    if not asks and not arguments.yes:
        say_lines(["", f"It would watch {_keys(chosen) or 'nothing'} and write {path}, in shadow mode."])
        raise Stop(Exit.USAGE, "nothing was written: add --yes to write it without a terminal, --print to see it")
    if asks and not arguments.only:
        chosen = _asked(found, chosen, path)
    if not chosen:
        say_lines([f"Nothing was taken, and nothing written. {'Name it with --only KEY.' if found else ''}"])
        return Exit.REFUSED
    why_not = probed(chosen, arguments.timeout)
    if all(one.key in why_not for one in chosen):
        raise Stop(
            Exit.PROBLEM, "nothing that was taken lets Headway in, so nothing was written; --print shows the rest"
        )
    text = _text(machine, found, chosen, why_not)
    put(path, text)
    active = [one for one in chosen if one.key not in why_not]
    say_lines(["", f"{path} is written: {count(active, 'system')} in shadow mode, nothing is sent."])
    if arguments.no_poll:
        return _ended(path, Exit.OK)
    from console.cli.first_night import read_back

    return _ended(path, read_back(path, text, machine.zone, asks, FIRST_POLL_SECONDS))


def _file_of(arguments: argparse.Namespace) -> Path:
    """Where the config goes; into a folder of configs as one file of it."""
    path = config_path(arguments.config)
    return path / "headway.toml" if path.is_dir() else path


def _refuse_other(path: Path, arguments: argparse.Namespace, asks: bool) -> None:
    """Raises Stop where there is a config already and nobody says that another may take its place."""
    folder = config_path(arguments.config)
    others = sorted(folder.glob("*.toml")) if folder.is_dir() else [path] if path.exists() else []
    if not others or arguments.print:
        return
    words = f"{others[0]} is there already"
    if asks and path.exists() and agreed(f"{words}. Keep it as {kept_beside(path).name} and begin anew?"):
        return
    mend = f"--print shows what is found, headway --config OTHER.toml init writes elsewhere; {others[0]} is as it was"
    raise Stop(Exit.REFUSED, f"{words}, and is never written over: {mend}")


def _looked(machine: Machine) -> list[Finding]:
    say("Headway looks at what runs here. Nothing is changed and nothing is sent.")

    def tell(words: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K  looking for {words} …")
            sys.stderr.flush()

    found = look(machine, tell)
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
    return found


def _only(found: Sequence[Finding], keys: Sequence[str]) -> list[Finding]:
    """What is taken where nobody chooses, or what was named. Raises Stop for a key that nothing has."""
    if not keys:
        return [one for one in found if one.is_wanted]
    words = [word for key in keys for word in key.split(",") if word]
    known = {one.key for one in found if one.name} | {one.kind for one in found if one.name}
    if missing := sorted(set(words) - known):
        raise Stop(
            Exit.NOT_FOUND, f"--only {missing[0]}: nothing of that key was found; {_keys(found) or 'nothing'} was"
        )
    return [one for one in found if one.name and (one.key in words or one.kind in words)]


def _keys(found: Sequence[Finding]) -> str:
    return ", ".join(one.key for one in found if one.name)


def _listed(found: Sequence[Finding]) -> list[str]:
    """Every finding: what, how many, whether it can be watched, where, and what a person should know."""
    lines = [""]
    for number, one in enumerate((one for one in found if one.name), 1):
        lines.append(f"{number:>3}  {clean_line(one.title)}" + (f", {one.count}" if one.count else ""))
        lines.append(f"     {one.ready.value}   [{one.key}]   {clean_line(one.where)}")
        lines += [f"     {clean_line(one.words)}"] if one.words else []
    for one in found:
        if not one.name:
            lines.append(f"  –  {clean_line(one.title)}" + (f", {one.count}" if one.count else ""))
            lines.append(f"     {one.ready.value}   {clean_line(one.where)}")
            lines += [f"     {clean_line(one.words)}"] if one.words else []
    return lines


def _nothing_here(path: Path) -> list[str]:
    return [
        "Nothing that Headway can watch was found on this machine: no crontab, no Airflow home, no pg_cron, no AWS.",
        f"Where yours are elsewhere, write {path} by hand: config.example.toml has every setting.",
        "What runs by itself can report to Headway by curl: headway grants heartbeat",
        "To see what it is like first: headway demo",
    ]


def _asked(found: Sequence[Finding], wanted: Sequence[Finding], path: Path) -> list[Finding]:
    """What a person takes, by numbers."""
    offered = [one for one in found if one.name]
    default = " ".join(str(offered.index(one) + 1) for one in wanted) or "none"
    say_lines(["", f"What you take is asked whether it lets Headway in, and written into {path}."])
    while True:
        word = answer(f"Which? Enter takes {default}; or numbers like 1 3, all, none: ", "none").lower()
        if word in ("", "none", "all"):
            return {"": list(wanted), "none": [], "all": offered}[word]
        numbers = word.replace(",", " ").split()
        if all(one.isascii() and one.isdigit() and 0 < int(one) <= len(offered) for one in numbers):
            return [offered[number - 1] for number in sorted({int(one) for one in numbers})]
        say(f'"{word[:40]}" names none of them; write numbers from 1 to {len(offered)}, all or none')


def _text(machine: Machine, found: Sequence[Finding], chosen: Sequence[Finding], why_not: dict[str, str]) -> str:
    """The config: what was chosen, and as a comment what was not or cannot be asked yet."""
    taken = [Taken(one, why_not.get(one.key, "" if one in chosen else _left_out(one))) for one in found]
    return config_text(machine.host, machine.host, datetime.now(UTC), taken)


def _left_out(one: Finding) -> str:
    return one.words if one.ready is Ready.NEEDS else "you did not take it"


def _ended(path: Path, code: int) -> int:
    own = "" if path == user_config() else f" --config {path}"
    say_lines([
        "",
        f"headway{own}          the console; it starts the engine, which goes on when you leave",
        f"headway{own} check    validates the config and asks every system again",
        f"headway{own} shadow   what it would have sent so far; `shadow off` turns it live",
    ])  # fmt: skip
    return code
