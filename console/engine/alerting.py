"""What a person may ask of the outbox: a test of a route, and parked deliveries once more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from console.clean import clean_line
from console.clock import Clock
from console.config import RouteSettings
from console.config.references import near
from console.engine.answers import CannotAnswer, NoSuchName
from console.model.ids import micros
from console.store import outbox as rows
from console.store import routing as routing_rows
from console.store.alert_rows import TEST, NewAlert
from console.store.open import Store


class AlertAnswers:
    """Answers "alert test" and "alert retry". The right to ask was checked before."""

    def __init__(
        self, store: Store, clock: Clock, routes: Mapping[str, RouteSettings], estate: str, wake: Callable[[], None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._words = {name: tuple(url.words for url in route.urls) for name, route in routes.items()}
        self._estate = clean_line(estate)
        self._wake = wake

    def by_kind(self) -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
        return {"alert test": self.test, "alert retry": self.retry}

    def test(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Leaves a test for each URL of a route; its number, by which its deliveries are found."""
        route, by = clean_line(str(arguments["route"])), clean_line(str(arguments["by"]))
        if route not in self._words:
            raise NoSuchName(f'no route "{route}". {near(route, self._words or ["add [routes.NAME]"])}')
        now = self._clock.now()
        body = (
            f'{by} sent this with "headway alert test {route}" at {now:%Y-%m-%d %H:%M:%S}Z, from the estate'
            f" {self._estate}.\nNothing is wrong: this shows that alerts arrive here.\n"
        )
        title = f'[Headway] test of route "{route}"'
        key = f"headway:test:{route}:{micros(now)}"
        new = NewAlert(route, TEST, title, body, key, title, body, urgent=True, waits=False)
        alert_id = routing_rows.tell_for(
            self._store, int(arguments["fence"]), self._words, new, micros(now), by, str(arguments.get("from", ""))
        )
        self._wake()
        return {"alert": alert_id, "urls": list(self._words[route])}

    def retry(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Parked deliveries, one or all, are due again; their numbers."""
        asked = arguments.get("delivery")
        found = rows.retry_parked(
            self._store,
            int(arguments["fence"]),
            None if asked is None else int(asked),
            micros(self._clock.now()),
            str(arguments["by"]),
            str(arguments.get("from", "")),
        )
        if not found:
            if asked is None:
                raise CannotAnswer("nothing is parked")
            raise NoSuchName(f"delivery {int(asked)} is not parked; headway alert lists what is")
        self._wake()
        return {"deliveries": found}
