"""What a store in PostgreSQL lets people ask for is every verb that there is."""

from __future__ import annotations

import re
from importlib.resources import files

from connectors.sdk.states import Verb


def test_the_guard_of_actions_knows_every_verb() -> None:
    sql = files("console.store").joinpath("grants.sql").read_text(encoding="utf-8")
    match = re.search(r"\bverb IN \(([^)]*)\), 'no verb'", sql)
    assert match is not None
    assert {verb.value for verb in Verb} == set(re.findall(r"'([a-z_]+)'", match[1]))
