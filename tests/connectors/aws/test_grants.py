"""The policies that `headway connector grants` prints for the AWS kinds: viewing needs no more than they allow and
changes nothing, and every call is named in one of them. The fakes refuse as AWS documents it; AWS never saw them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from connectors.sdk.conformance.actions import hold_ask
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionSpec, Connector
from connectors.sdk.errors import AccessRefused, NotSupported
from connectors.sdk.records import RunRef
from connectors.sdk.states import RunState, Verb
from console.cli.connectors import grants_text
from tests.connectors.batch.test_conformance import night as batch_night
from tests.connectors.emr.test_conformance import night as emr_night
from tests.connectors.eventbridge.test_eventbridge import keys
from tests.connectors.glue.test_conformance import night as glue_night
from tests.fakes.aws import FakeAws
from tests.fakes.eventbridge import FakeScheduler
from tests.rows import each_row

__all__ = ["keys"]

ACT = "Act"
SERVICES = {"GetLogEvents": "logs"}


@dataclass
class Case:
    """A kind, its fake, a job of it, and what may be done to that."""

    kind: str
    make: Callable[[], Any]
    job: str
    verbs: tuple[Verb, ...]
    world: Callable[[Any], object]
    """All of the fake that an act could change."""


def one_schedule() -> FakeScheduler:
    fake = FakeScheduler()
    fake.schedule("nightly")
    return fake


CASES = [
    Case("glue", glue_night, "load-orders", (Verb.RERUN, Verb.START), lambda fake: fake.runs),
    Case("batch", batch_night, "load-orders", (Verb.RERUN, Verb.START), lambda fake: fake.jobs),
    Case("emr", emr_night, "nightly/load-orders", (Verb.CANCEL,), lambda fake: fake.steps),
    Case("eventbridge", one_schedule, "default/nightly", (Verb.HOLD,), lambda fake: fake.schedules),
]


def actions(kind: str) -> tuple[set[str], set[str]]:
    """What the policy allows for view, and besides for act."""
    view: set[str] = set()
    act: set[str] = set()
    for item in json.loads(grants_text(kind))["Statement"]:
        named = item["Action"] if isinstance(item["Action"], list) else [item["Action"]]
        (act if ACT in item["Sid"] else view).update(named)
    return view, act


def requested_actions(kind: str, fake: FakeAws) -> set[str]:
    """The requests sent to the fake, as IAM action names."""
    service = {"eventbridge": "scheduler", "emr": "elasticmapreduce"}.get(kind, kind)
    return {f"{SERVICES.get(name, service)}:{name}" for name, _ in fake.calls}


def watch(connector: Connector) -> None:
    """All that watching requests."""
    connector.inventory("", 20)
    poll = connector.poll("", (), 20)
    connector.probe(20)
    for run in poll.runs:
        with suppress(NotSupported):  # a kind without logs
            connector.log(ref(run), None, 1000, 20)


def action_specs(case: Case, connector: Connector) -> Iterator[ActionSpec]:
    polled = [run for run in connector.poll("", (), 20).runs if run.job == case.job]
    runs = [run for run in polled if run.state.is_red]
    for verb in case.verbs:
        if verb == Verb.HOLD:
            yield hold_ask(case.job)
        elif verb == Verb.CANCEL:
            yield next(ActionSpec(verb, ref(run), run.state) for run in polled if run.state.is_open)
        else:
            yield ActionSpec(
                verb, ref(runs[0]) if verb == Verb.RERUN else RunRef(case.job, "", "", ""), RunState.FAILED
            )


@each_row("case", CASES, ids=lambda case: case.kind)
def test_the_view_grant_allows_exactly_what_watching_needs(case: Case) -> None:
    fake = case.make()
    watch(fake.connector())
    view, _ = actions(case.kind)
    assert requested_actions(case.kind, fake) <= view
    assert view - requested_actions(case.kind, fake) <= {"glue:GetJob"}, "rights that nothing needs"


@each_row("case", CASES, ids=lambda case: case.kind)
def test_with_view_alone_an_act_is_refused_and_its_right_is_named(case: Case) -> None:
    fake = case.make()
    view, act = actions(case.kind)
    fake.refused = {name.partition(":")[2] for name in act}
    connector = fake.connector()
    before = repr(case.world(fake))
    for ask in action_specs(case, connector):
        preview = connector.preview(ask, 20)
        assert preview.refused is None, "what would be done is told with view"
        with pytest.raises(
            AccessRefused,
            match=f"allow ({'|'.join(sorted(act))})",
        ):
            connector.act(preview, new_key(), 20)
    assert before == repr(case.world(fake)), "refused, and something changed"
    assert requested_actions(case.kind, fake) <= view | act
    rights = connector.probe(20).rights
    assert any(right.needed_for == "act" and right.held is None and right.fix for right in rights)


@each_row("case", CASES, ids=lambda case: case.kind)
def test_with_all_that_is_named_it_is_done(case: Case) -> None:
    fake = case.make()
    view, act = actions(case.kind)
    connector = fake.connector()
    for ask in action_specs(case, connector):
        connector.act(connector.preview(ask, 20), new_key(), 20)
    assert requested_actions(case.kind, fake) <= view | act


@each_row("case", CASES, ids=lambda case: case.kind)
def test_each_view_right_that_is_revoked_is_named_by_the_probe(case: Case) -> None:
    view, _ = actions(case.kind)
    for name in sorted(view - {"glue:GetJob"}):
        fake = case.make()
        fake.refused = {name.partition(":")[2]}
        lost = [right.name for right in fake.connector().probe(20).rights if right.held is False]
        assert [name] == lost
