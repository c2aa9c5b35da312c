"""`headway connector list`: the installed kinds, what each can do and was tested against; `try` asks a system."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from console.cli.common import Stop, print_json, say_lines, wait_seconds
from console.cli.exits import Exit
from console.cli.table import Col, print_table

if TYPE_CHECKING:
    from connectors.catalog import Entry

COLUMNS = (Col("kind"), Col("title", 12), Col("does", 24), Col("proves", drop=1), Col("tested against", 12))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="verb", metavar="WHAT", required=True)
    listed = commands.add_parser("list", help="the installed kinds of systems; KIND tells all of one")
    listed.add_argument("kind", nargs="?")
    listed.add_argument("--json", action="store_true")
    trying = commands.add_parser("try", help="what a system answers and what of it is understood, line by line")
    trying.add_argument("system", metavar="SYSTEM", help="of the config; system/target for one of its targets")
    trying.add_argument("--timeout", type=wait_seconds, default=20.0, metavar="SECONDS", help="for each call (20)")
    trying.add_argument("--json", action="store_true")
    new = commands.add_parser("new", help="write a package for a kind of your own, which passes conformance as it is")
    new.add_argument("name", metavar="NAME", help="of the kind: small letters, digits and _")
    new.add_argument("--into", metavar="FOLDER", help="a folder that is not there yet (headway-NAME)")
    new.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    if arguments.verb == "new":
        return _new(arguments)
    return _list(arguments) if arguments.verb == "list" else _try(arguments)


def _new(arguments: argparse.Namespace) -> int:
    from pathlib import Path

    from connectors.scaffold import NotWritten, write

    folder = Path(arguments.into or f"headway-{arguments.name}").expanduser()
    try:
        written = write(arguments.name, folder)
    except NotWritten as error:
        raise Stop(Exit.REFUSED, str(error)) from None
    if arguments.json:
        print_json(arguments, {"written": [str(path) for path in written]})
    else:
        say_lines([*map(str, written), f"next: pip install -e {folder}, pytest {folder}, and read its README.md"])
    return Exit.OK


def _try(arguments: argparse.Namespace) -> int:
    """In this process, nothing is kept: a mapping is right before an engine goes by it."""
    from connectors.contract import ConnectorError
    from connectors.secrets import SecretStore
    from connectors.trying import lines, tried
    from console.cli.check import works
    from console.config import ConfigFaults, load_config
    from console.paths import config_path

    name, _, wanted = arguments.system.partition("/")
    try:
        systems = load_config(config_path(arguments.config)).systems
    except ConfigFaults as faults:
        raise Stop(Exit.USAGE, f"{len(faults.faults)} fault(s) in the config\n{faults}") from None
    system = systems.get(name)
    targets = [one for one in system.targets if wanted in ("", one)] if system else []
    if system is None or not targets:
        known = ", ".join(sorted(systems)) if system is None else ", ".join(system.targets)
        raise Stop(Exit.NOT_FOUND, f'nothing is called "{arguments.system}"; there are {known}')
    secrets, found, is_watched = SecretStore(), [], works(arguments)
    for target in targets:
        try:
            connector = system.kind.open(system.options, target, secrets)
        except ConnectorError as error:
            raise Stop(Exit.PROBLEM, secrets.mask(str(error))) from None
        try:
            found.append(tried(connector, f"{name}/{target}", arguments.timeout, is_watched))
        finally:
            connector.close()
    told = [[secrets.mask(line) for line in lines(one)] for one in found]
    if arguments.json:
        each = [{"target": one.target, "understood": one.is_understood, "lines": words}
                for one, words in zip(found, told, strict=True)]  # fmt: skip
        print_json(arguments, {"system": name, "targets": each})
    else:
        say_lines(line for words in told for line in words)
    return Exit.OK if all(one.is_understood for one in found) else Exit.PROBLEM


def _list(arguments: argparse.Namespace) -> int:
    from connectors.catalog import entries

    found = entries()
    if arguments.kind is not None:
        return _one(arguments, found)
    if arguments.json:
        print_json(arguments, [_document(one) for one in found])
        return Exit.OK
    print_table(COLUMNS, [_row(one) for one in found])
    say_lines(f"{one.kind}: {one.error}" for one in found if one.error)
    return Exit.OK


def _one(arguments: argparse.Namespace, found: list[Entry]) -> int:
    from difflib import get_close_matches

    names = [one.kind for one in found]
    if arguments.kind not in names:
        near = get_close_matches(arguments.kind, names, n=1)
        hint = f'did you mean "{near[0]}"?' if near else f"installed: {', '.join(names)}"
        raise Stop(Exit.NOT_FOUND, f'no kind "{arguments.kind}"; {hint}')
    entry = found[names.index(arguments.kind)]
    if arguments.json:
        print_json(arguments, _document(entry))
    else:
        say_lines(_told(entry))
    return Exit.OK


def _told(entry: Entry) -> list[str]:
    if entry.error:
        return [f"{entry.kind}: {entry.error}"]
    verbs = entry.verbs or {}
    return [
        f"{entry.kind}: {entry.title}",
        *(f"  {name:<9} yes{': ' + verbs[name] if name in verbs else ''}" for name in entry.does),
        *(f"  {name:<9} no: {why or 'it does not say why'}" for name, why in (entry.lacks or {}).items()),
        f"  proves    {', '.join(entry.proofs) or 'it does not say'}. {entry.ladder}",
        *(f"  tested    {one}" for one in entry.tested or ("it does not say against what",)),
    ]


def _row(entry: Entry) -> tuple[str, ...]:
    if entry.error:
        return entry.kind, "–", "cannot be loaded", "–", "–"
    tested = ", ".join(entry.against) or "not told"
    return entry.kind, entry.title, ", ".join(entry.does), ", ".join(entry.proofs) or "not told", tested


def _document(entry: Entry) -> dict[str, Any]:
    return {
        "kind": entry.kind, "title": entry.title, "does": entry.does, "lacks": entry.lacks or {},
        "verbs": entry.verbs or {}, "proofs": entry.proofs, "ladder": entry.ladder,
        "against": entry.against, "tested": entry.tested, "cannot_load": entry.error or None,
    }  # fmt: skip
