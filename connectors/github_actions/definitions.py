"""The files of a repository's workflows, read again only when their hash on the default branch moved."""

from __future__ import annotations

import base64
from typing import Any

from connectors import fields
from connectors.contract import RecordUnreadable, Skipped
from connectors.github_actions import definition
from connectors.github_actions.client import GitHubClient
from connectors.github_actions.definition import Definition

FOLDER = ".github/workflows"


class Definitions:
    """What the workflows' files say. One per repository."""

    def __init__(self, client: GitHubClient) -> None:
        self._client = client
        self._hashes: dict[str, str] | None = None
        self._read: dict[str, tuple[str, Definition]] = {}

    def refresh(self) -> None:
        """Looks which files there are now."""
        reply = self._client.folder(FOLDER)
        rows = reply.json() if reply.status == 200 else []
        self._hashes = dict(_entry(row) for row in fields.rows(rows) if isinstance(row, dict))

    def hash_of(self, path: str) -> str:
        """Of the file's content; "" without a file."""
        return (self._hashes or {}).get(path, "")

    def of(self, path: str, skipped: list[Skipped] | None = None) -> Definition | None:
        """Of a workflow, by the path of its file; None without a file that can be read, which is told in `skipped`."""
        if self._hashes is None:
            self.refresh()
        digest = self.hash_of(path)
        if not digest:
            self._read.pop(path, None)
            return None
        known = self._read.get(path)
        if known is None or known[0] != digest:
            try:
                known = digest, definition.read(self._text(path))
            except RecordUnreadable as error:
                if skipped is not None:
                    skipped.append(Skipped(path, str(error)))
                return None
            self._read[path] = known
        return known[1]

    def _text(self, path: str) -> str:
        reply = self._client.file(path)
        row = fields.table(reply.json()) if reply.status == 200 else {}
        try:
            return base64.b64decode(fields.text(row, "content")).decode("utf-8")
        except ValueError as error:
            raise RecordUnreadable(f"its content cannot be decoded: {error}") from None


def _entry(row: fields.Row) -> tuple[str, str]:
    return _word(row.get("path")), _word(row.get("sha"))


def _word(value: Any) -> str:
    return fields.clean(value) if isinstance(value, str) else ""
