"""The statements of verbs. A run is found by our key, unless a session still sends it or row security may hide it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from connectors.sdk.contract import SourcePermission
from connectors.sdk.errors import NotSupported, PermissionMissing
from connectors.sdk.mapped_actions import KEY_PLACEHOLDER, VERB_NAMES, MappedActions
from connectors.sdk.states import Verb
from connectors.sql.client import LAST, SqlClient
from connectors.sql.options import SqlVerbQuery


class SqlActions(MappedActions[SqlVerbQuery]):
    what, setting, id_place = "statement", "query", "run"

    def __init__(self, client: SqlClient) -> None:
        super().__init__(client.options.verbs, client.options.runs, client.options.states)
        self._client = client

    def shown(self, call: SqlVerbQuery, verb: Verb, values: Mapping[str, str]) -> tuple[str, str, tuple[str, ...]]:
        statement, given = " ".join(call.query.split()), {**values, "key": KEY_PLACEHOLDER}
        bound = ", ".join(f"{place} = {given[place]!r}" for place in call.places)
        return VERB_NAMES[verb], statement, (statement, *([f"-- {bound}"] if bound else []))

    def refusal(self, call: SqlVerbQuery, verb: Verb, values: Mapping[str, str]) -> str | None:
        for place in call.places:
            if any("\ud800" <= character <= "\udfff" or character == "\0" for character in values.get(place, "")):
                return f"{{{place}}} holds bytes that are not text, which cannot be sent back"
        permission = self._permission("", call)
        return permission.why if permission.held is False else None

    def notes(self, verb: Verb) -> tuple[str, ...]:
        unproved = "" if verb is Verb.CANCEL else self._client.run_with_key(KEY_PLACEHOLDER)[1]
        return (f"a lost answer would stay unknown: {unproved}",) if unproved else ()

    def _permission(self, name: str, call: SqlVerbQuery) -> SourcePermission:
        """Whether the role may run the statement, as far as the server reports it without running it."""
        fix = f"grant what verbs.{name} needs: EXECUTE on its function, or INSERT or UPDATE on its table"
        if call.query.split()[0].lower() == "call":
            why = "of a CALL this is unknown: it shows when it is sent"
            return SourcePermission(name, None, why, fix, "act")
        try:
            self._client.check(call)
        except PermissionMissing as error:
            return SourcePermission(name, False, str(error), fix, "act")
        except NotSupported as error:
            return SourcePermission(name, False, str(error), f"correct verbs.{name}.query", "act")
        return SourcePermission(name, True, "", "", "act")

    def permissions(self) -> Iterator[SourcePermission]:
        """One for each verb that the config names."""
        for verb in VERB_NAMES:
            if (call := self._client.options.verbs.of(verb)) is not None:
                yield self._permission(verb.value, call)

    def send(self, call: SqlVerbQuery, values: Mapping[str, Any]) -> str:
        result = self._client.send(call, values)
        return f"committed{f': {result}' if result else ''}"

    def run_with_key(self, key: str, plan: Mapping[str, Any]) -> tuple[str | None, str]:
        return self._client.run_with_key(key)

    def run_row(self, run_id: str) -> Any | None:
        rows = self._client.runs(LAST[self._client.options.runs.cursor_is], [run_id], ()).again
        return next(iter(rows), None)
