"""What alerting names in other parts of the config: routes, rotas."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from console.config.models import Config
from console.config.near import near
from console.config.reading import Reading, Table

Check = Callable[[Iterable[str], tuple[str, ...]], None]


def check_alerting(config: Config, document: Table, routes: Check, reading: Reading) -> None:
    """`routes` tells each name that is no route."""
    for name, table in document.get("routes", {}).items():
        for target in _list(table, "escalate_to"):
            routes((target,), ("routes", name, "escalate_to"))
            if target == name:
                reading.fault(("routes", name, "escalate_to"), f'"{name}" escalates to itself. Name another route.')
        rota = table.get("rota") if isinstance(table, dict) else None
        if isinstance(rota, str) and rota and rota not in document.get("rotas", {}):
            words = f'no rota "{rota}". {near(rota, document.get("rotas", {}), "rotas")}'
            reading.fault(("routes", name, "rota"), words)
    for name, table in document.get("rotas", {}).items():
        _check_people(document, name, table, routes, reading)
    if config.alerts.noise_report:
        routes((config.alerts.noise_report,), ("alerts", "noise_report"))


def _check_people(document: Table, name: str, table: Any, routes: Check, reading: Reading) -> None:
    """Everybody's route is there, and is not one that asks a rota again."""
    people = table.get("people") if isinstance(table, dict) else None
    for person, route in people.items() if isinstance(people, dict) else ():
        if not isinstance(route, str):
            continue
        routes((route,), ("rotas", name, "people"))
        told = document.get("routes", {}).get(route)
        if isinstance(told, dict) and told.get("rota"):
            words = f'the route "{route}" of {person} has a rota of its own'
            reading.fault(("rotas", name, "people"), f"{words}. Name one whose URLs are theirs.")


def _list(table: Any, key: str) -> list[str]:
    value = table.get(key) if isinstance(table, dict) else None
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
