"""`headway job NAME --set owner=… runbook=… rerun=safe`: writes on a job's card, where config lets people."""

from __future__ import annotations

import argparse

from console.cli.asking import answered, require_engine
from console.cli.common import Stop, confirmed, print_json, reading, say_lines
from console.cli.exits import Exit
from console.model import cards
from console.model.views import JobView


def edit(arguments: argparse.Namespace) -> int:
    """Shows what would be other, asks, and has the engine write it."""
    given = _given(arguments.card)
    with reading(arguments) as reads:
        view = reads.job(arguments.name)
    changes = _changes(view, given)
    requests = require_engine(arguments)
    if not arguments.yes:
        say_lines(changes)
    if not confirmed(arguments, "write it on the card?", "nothing was written", "write it"):
        return Exit.REFUSED
    data = answered(arguments, requests, requests.card(view.row.id, given, arguments.why))
    if arguments.json:
        print_json(arguments, {"job": view.row.name, **data})
    elif arguments.yes:
        say_lines(changes)
    return Exit.OK


def _given(words: list[str]) -> dict[str, str]:
    """Field -> text. Raises Stop for what cannot stand on a card."""
    given = dict[str, str]()
    for word in words:
        field, sign, text = word.partition("=")
        if not sign:
            raise Stop(Exit.USAGE, f'"{word[:40]}" has no =: write {", ".join(f"{one}=…" for one in cards.FIELDS)}')
        if fault := cards.fault(field, text.strip()):
            raise Stop(Exit.USAGE, fault)
        given[field] = text.strip()
    return given


def _changes(view: JobView, given: dict[str, str]) -> list[str]:
    """What would be other, a line for each word. Raises Stop where config does not let people say it."""
    name, lines = view.row.name, []
    for one in view.card:
        if one.field in given:
            if one.why_not:
                raise Stop(Exit.REFUSED, f"{name} {one.field}: {one.why_not}; nothing was written")
            then = given[one.field] or "as if nobody had said it"
            lines.append(f"{name} {one.field}: {one.value or '–'} -> {then}")
    return lines
