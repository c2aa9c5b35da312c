"""What a store in PostgreSQL lets people ask for is every verb that there is."""

from __future__ import annotations

import re
from importlib.resources import files

from connectors.sdk.states import Verb
from console.domain.request import RequestKind

SQL = files("console.store").joinpath("grants.sql").read_text(encoding="utf-8")


def test_the_guard_of_actions_knows_every_verb() -> None:
    match = re.search(r"\bverb IN \(([^)]*)\), 'no verb'", SQL)
    assert match is not None
    assert {verb.value for verb in Verb} == set(re.findall(r"'([a-z_]+)'", match[1]))


def test_the_guard_of_records_knows_the_requests_that_need_no_engine() -> None:
    match = re.search(r"verb ~ \('(.+)'\s+\|\| '(.+)'\), 'no verb of a record'", SQL)
    assert match is not None
    for kind in (RequestKind.RELEASE_NATIVELY, RequestKind.RESTORE, RequestKind.SHELL):
        for verb in (kind, f"refuse {kind}"):
            assert re.search("".join(match.groups()), verb), verb
