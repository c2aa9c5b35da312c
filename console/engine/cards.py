"""What a person says on a job's card. The right to say it was checked before, of each kind of word by its own door."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from console.clean import clean_line
from console.clock import Clock
from console.engine.answers import CannotAnswer
from console.model import cards
from console.model.ids import micros
from console.store import cards as rows
from console.store.muting import Said
from console.store.open import Store

WHY_LIMIT = 300


class CardAnswers:
    """Answers "card" and, where a rerun takes less from then on, "card loosen"."""

    def __init__(self, store: Store, clock: Clock, changed: Callable[[], None]) -> None:
        self._store = store
        self._clock = clock
        self._changed = changed
        """The evaluator shall look again."""

    def by_kind(self) -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
        """Kind of question -> who answers it."""
        return {
            "card": lambda arguments: self._say(arguments, may_loosen=False),
            "card loosen": lambda arguments: self._say(arguments, may_loosen=True),
        }

    def _say(self, arguments: dict[str, Any], may_loosen: bool) -> dict[str, Any]:
        given = {str(field): clean_line(str(value), cards.LIMIT) for field, value in dict(arguments["card"]).items()}
        by, origin = clean_line(str(arguments["by"])), clean_line(str(arguments.get("from", "")))
        said = Said(by, origin, clean_line(str(arguments.get("why", "")), WHY_LIMIT), micros(self._clock.now()))
        fence, job_id = int(arguments["fence"]), int(arguments["job_id"])
        if refused := rows.say(self._store, fence, job_id, given, may_loosen, said):
            raise CannotAnswer(refused)
        self._changed()
        return {"card": given, "by": by}
