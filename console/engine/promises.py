"""Answers what people say of promises: more time for tonight, and that a step is not done after all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from console.clock import Clock
from console.engine.answers import CannotAnswer
from console.model.ids import micros
from console.store.asserted import open_again
from console.store.extensions import Promised, extend
from console.store.open import Store


class Promises:
    """Writes what was asked, by whoever the question says asked it."""

    def __init__(self, store: Store, clock: Clock, changed: Callable[[], None]) -> None:
        self._store = store
        self._clock = clock
        self._changed = changed
        """The evaluator shall look again."""

    def by_kind(self) -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
        """Kind of question -> who answers it."""
        return {"extend": self._extend, "undo done": self._open_again}

    def _extend(self, arguments: dict[str, Any]) -> dict[str, Any]:
        until = arguments.get("until_us")
        refused = extend(
            self._store,
            arguments["fence"],
            Promised(
                str(arguments["service"]),
                str(arguments["bd"]),
                str(arguments.get("submission", "")),
                str(arguments.get("instance", "")),
            ),
            None if until is None else int(until),
            arguments["by"],
            str(arguments.get("from", "")),
            str(arguments.get("why", "")),
            micros(self._clock.now()),
        )
        if refused:
            raise CannotAnswer(refused)
        self._changed()
        return {"extended": until is not None}

    def _open_again(self, arguments: dict[str, Any]) -> dict[str, Any]:
        by, origin, why = arguments["by"], str(arguments.get("from", "")), str(arguments.get("why", ""))
        run_id = int(arguments["run_id"])
        if refused := open_again(self._store, arguments["fence"], run_id, by, origin, why, self._clock.now()):
            raise CannotAnswer(refused)
        self._changed()
        return {"open": True}
