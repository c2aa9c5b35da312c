"""Holds of a profile by the common shapes of pause calls, each under conformance, on a home-grown API."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import httpx
import pytest
from pydantic import ValidationError

from connectors.http.api_description import compare
from connectors.http.connector import HttpConnector, HttpProfile
from connectors.sdk.conformance import Holds
from connectors.sdk.conformance.actions import hold_ask, release_ask
from connectors.sdk.conformance.world import HOOKS, new_key
from connectors.sdk.contract import ActionAbsent, Connector
from connectors.sdk.errors import OutcomeUnknown
from tests.connectors.http.test_mapped import settings
from tests.fakes.homegrown import HomeGrown
from tests.rows import each_row

BY_FLAG = {"path": "/api/jobs/{job}", "query": {"on": "{enabled}", "note": "{note}"}, "note": "note"}
BY_CALLS = {
    "path": "/api/jobs/{job}",
    "body": {"note": "{note}"},
    "note": "note",
    "job_path": "/api/jobs/{job}",
    "pause": "/api/jobs/{job}/pause",
    "resume": {"path": "/api/jobs/{job}/pause", "method": "DELETE"},
}
BY_REASON = {
    "path": "/api/jobs/{job}/suspend",
    "method": "POST",
    "body": {"reason": "{note}"},
    "resume": "/api/jobs/{job}/resume",
    "note": "suspension.reason",
}
KEY_HEADER = {"Client-Ref": "{key}"}
BY_SWITCHES = {
    "path": "/api/jobs/{job}/suspend",
    "method": "POST",
    "body": {"note": "{note}"},
    "headers": KEY_HEADER,
    "resume": {"path": "/api/jobs/{job}/resume", "body": {"note": "{note}"}, "headers": KEY_HEADER},
    "note": "note",
    "one_line": True,
}
BY_HIDDEN_REASON = {**BY_REASON, "job_path": "/api/jobs/{job}", "note_in": "job"}


class Pausing(HomeGrown):
    """Its jobs are paused by a flag, by two calls, or with a reason, which stays readable after the job was resumed."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden: frozenset[str] = frozenset()
        """Fields of a job that its list leaves out."""
        self.keys = dict[str, str]()
        """Key -> the request that it came with."""
        self.refused = ""
        """A method whose calls are refused."""
        self.jobs = [{**job, "note": "Call Ann first", "suspension": None} for job in self.jobs]

    def handle(self, request: httpx.Request) -> httpx.Response:
        match = re.fullmatch(r"/api/jobs(?:/(\w+)(?:/(pause|suspend|resume))?)?", request.url.path)
        if match is None:
            return super().handle(request)
        self.requested.append(f"{request.method} {request.url.path}")
        if match[1] is None:
            rows = [{name: item for name, item in job.items() if name not in self.hidden} for job in self.jobs]
            return httpx.Response(200, json={"jobs": rows})
        job = next((job for job in self.jobs if job["name"] == match[1]), None)
        if job is None:
            return httpx.Response(404, json={"message": "no such job"})
        sent = {**json.loads(request.content or b"{}"), **request.url.params}
        key, call = request.headers.get("client-ref", ""), f"{request.url.path} {sent}"
        if (key and self.keys.setdefault(key, call) != call) or "\n" in sent.get("note", "") * bool(match[2]):
            return httpx.Response(409, json={"message": "a key of another request, or a note of several lines"})
        return httpx.Response(200, json=job) if self.change(job, request.method, match[2], sent) else CONFLICT

    def change(self, job: dict[str, Any], method: str, verb: str | None, sent: Mapping[str, Any]) -> bool:
        """False where the job is suspended or resumed already."""
        if verb in ("suspend", "resume"):
            if job["on"] is (verb == "resume"):
                return False
            job |= {"suspension": {"reason": sent["reason"], "by": "etl"}} if "reason" in sent else {}
            job |= {"note": sent["note"]} if "note" in sent else {}
            job["on"] = verb == "resume"
        elif verb == "pause":
            job["on"] = method == "DELETE"
        elif method == "PUT":
            job |= {"note": sent["note"], "on": str(sent.get("on", job["on"])).lower() == "true"}
        return True


CONFLICT = httpx.Response(409, json={"message": "it is so already"})


def profile_with(hold: Mapping[str, Any]) -> HttpProfile:
    lists = {name: settings()[name] for name in ("jobs", "runs", "states")}
    lists["jobs"] = {**lists["jobs"], "paging": "none", "next_at": "next"}
    lacks = dict.fromkeys(("start", "cancel", "rerun", "log"), "has no such call")
    header = {"kind": "http", "base": "http", "title": "Home-grown", "ladder": "By its own words.",
              "grants": "# least rights", "sign_in": "none", "headers": {"X-Api-Key": "let-me-in"}, "lacks": lacks,
              }  # fmt: skip
    return HttpProfile.model_validate({**header, **lists, "hold": dict(hold)}, context={})


def opened(fake: HomeGrown, hold: Mapping[str, Any]) -> HttpConnector:
    profile = profile_with(hold)
    options = profile.system_options().model_validate({"url": "https://batch.internal"})
    return profile.open_target(options, "api", lambda _: "", fake.transport)


class HoldWorld(Holds):
    against = "fake: a home-grown scheduler of ours, by the example in the docs"
    hold: ClassVar[Mapping[str, Any]]
    hidden: ClassVar[frozenset[str]] = frozenset()
    elsewhere: ClassVar[Mapping[str, str]] = dict.fromkeys(HOOKS, "tests/connectors/http/test_mapped.py")

    @pytest.fixture(autouse=True)
    def world(self) -> None:
        self.fake = Pausing()
        self.fake.hidden = self.hidden

    def connector(self) -> Connector:
        return opened(self.fake, self.hold)

    def a_holdable_job(self) -> str:
        return "load"

    def by_hand(self, on: bool) -> None:
        self.fake.jobs[0] |= {"on": on} if on else {"on": on, "suspension": {"reason": "disk full", "by": "ann"}}

    def pause_by_hand(self, job_id: str) -> None:
        self.by_hand(False)

    def resume_by_hand(self, job_id: str) -> None:
        self.by_hand(True)

    def let_it_fall_due(self, job_id: str) -> None:
        if self.fake.jobs[0]["on"]:
            self.fake.run(job_id, "done", self.fake.now)

    def native_trace(self) -> object:
        return [{name: item for name, item in job.items() if name != "suspension"} for job in self.fake.jobs]


class TestHoldByFlag(HoldWorld):
    kind = profile_with(BY_FLAG).connector_kind()
    hold = BY_FLAG


class TestHoldByCalls(HoldWorld):
    kind = profile_with(BY_CALLS).connector_kind()
    hold = BY_CALLS


class TestHoldByReason(HoldWorld):
    kind = profile_with(BY_REASON).connector_kind()
    hold = BY_REASON


class TestHoldByReasonOfTheJobAlone(HoldWorld):
    kind = profile_with(BY_HIDDEN_REASON).connector_kind()
    hold = BY_HIDDEN_REASON
    hidden = frozenset({"suspension"})


class TestHoldByANoteOfPauseAndResume(HoldWorld):
    """The note stays when a person pauses or resumes the job, and is written with a pause or a resume alone."""

    kind = profile_with(BY_SWITCHES).connector_kind()
    hold = BY_SWITCHES


class KeptReason(HoldWorld):
    """A source whose pause without a reason keeps the one before."""

    kind = profile_with(BY_REASON).connector_kind()
    hold = BY_REASON

    def by_hand(self, on: bool) -> None:
        self.fake.jobs[0] |= {"on": on}


def test_a_source_that_keeps_a_reason_fails_conformance() -> None:
    """A release would end the pause of a person."""
    world = KeptReason()
    world.fake = Pausing()
    with pytest.raises(AssertionError, match="theirs is released"):
        world.test_job_that_a_person_enabled_loses_our_mark_alone_and_a_later_pause_is_theirs()


def test_a_reason_is_the_mark_alone_and_counts_while_the_job_is_paused() -> None:
    fake = Pausing()
    fake.jobs[0]["suspension"] = {"reason": "disk full", "by": "ann"}  # of a pause that is over
    connector = opened(fake, BY_REASON)
    preview, key = connector.preview(hold_ask("load"), 5), new_key()
    assert "/api/jobs/load/suspend" in preview.native_calls[0]
    connector.act(preview, key, 5)
    assert fake.jobs[0]["suspension"]["reason"].startswith(f"headway-hold id={key} by=")
    assert [key] == [hold.mark.id for hold in connector.holds(5)]
    fake.jobs[0]["on"] = True
    assert () == connector.holds(5, ["load"])


def test_each_paused_job_is_read_where_the_list_hides_the_reason() -> None:
    fake = Pausing()
    fake.hidden = frozenset({"suspension"})
    connector = opened(fake, BY_HIDDEN_REASON)
    connector.act(connector.preview(hold_ask("load"), 5), new_key(), 5)
    fake.requested.clear()
    assert ["load"] == [hold.job for hold in connector.holds(5)]
    assert ["GET /api/jobs", "GET /api/jobs/load"] == fake.requested


@pytest.mark.parametrize("broken", [{"name": "odd", "next": "soon"}, {"name": None}])
def test_a_job_that_cannot_be_read_hides_no_hold_of_others(broken: dict[str, Any]) -> None:
    fake = Pausing()
    fake.hidden = frozenset({"suspension"})
    connector = opened(fake, BY_HIDDEN_REASON)
    connector.act(connector.preview(hold_ask("load"), 5), new_key(), 5)
    fake.jobs.append({**fake.jobs[1], **broken})
    assert ["load"] == [hold.job for hold in connector.holds(5)]


@pytest.mark.parametrize("is_paused", [False, True])
def test_a_mark_is_removed_by_both_calls_where_only_they_write_the_note(is_paused: bool) -> None:
    """The mark goes last, so a call that is lost between leaves it."""
    fake = Pausing()
    connector = opened(fake, BY_SWITCHES)
    key, clear = new_key(), new_key()
    connector.act(connector.preview(hold_ask("load"), 5), key, 5)
    held = str(fake.jobs[0]["note"])
    assert held.startswith(f"Call Ann first headway-hold id={key} ")
    fake.jobs[0]["on"] = not is_paused
    spec = release_ask("load", key)
    preview = connector.preview(replace(spec, parameters={**spec.parameters, "enable": "no"}), 5)
    verbs = ["resume", "suspend"] if is_paused else ["suspend", "resume"]
    assert verbs == [call.split()[1].rpartition("/")[2] for call in preview.native_calls]
    fake.requested.clear()
    connector.act(preview, clear, 5)
    assert [f"POST /api/jobs/load/{verb}" for verb in verbs] == fake.requested[-2:]
    assert ("Call Ann first", not is_paused) == (fake.jobs[0]["note"], fake.jobs[0]["on"])
    assert held in fake.keys[clear]
    assert "'Call Ann first'" in fake.keys[f"{clear}-2"]


@pytest.mark.parametrize("resume", ["/api/resume/{job}", {"path": "/api/resume/{job}", "method": "PUT"}])
def test_a_call_that_resumes_goes_to_the_server_that_paused(resume: Any) -> None:
    hold = {**BY_REASON, "server": "https://control.internal", "redirects": True, "resume": resume}
    shared = profile_with(hold).hold
    assert shared is not None
    assert shared.resume is not None
    assert ("https://control.internal", True) == (shared.resume.server, shared.resume.redirects)
    own = {"path": "/api/resume/{job}", "server": "https://other.internal", "redirects": False}
    named = profile_with({**hold, "resume": own}).hold
    assert named is not None
    assert named.resume is not None
    assert ("https://other.internal", False) == (named.resume.server, named.resume.redirects)


def test_try_shows_where_the_mark_is_read_and_whether_a_job_has_it() -> None:
    fake = Pausing()
    connector = opened(fake, BY_REASON)

    def fix() -> str:
        return next(right.fix for right in connector.probe(5).rights if right.name == "hold")

    assert fix().endswith("its mark is read at suspension.reason, which no job of the first page shows now")
    fake.jobs[0] |= {"on": False, "suspension": {"reason": "disk full", "by": "ann"}}
    assert fix().endswith("its mark is read at suspension.reason")
    fake.jobs[0]["on"] = True
    assert "A job that is not paused still shows the reason of its last pause" in fix()
    fake.hidden, connector = frozenset({"suspension"}), opened(fake, BY_HIDDEN_REASON)
    assert fix().endswith("its mark is read at suspension.reason by job_path")


def test_a_hold_whose_note_is_never_returned_is_not_found() -> None:
    fake = Pausing()
    connector = opened(fake, {**BY_REASON, "note": "suspension.why"})
    preview, key = connector.preview(hold_ask("load"), 5), new_key()
    connector.act(preview, key, 5)
    assert isinstance(connector.look_up(preview, key, 5), ActionAbsent)
    assert () == connector.holds(5)


@each_row(
    "change, faults",
    [
        ({}, []),
        ({"note": "suspension.why"}, [("hold", "note")]),
        ({"resume": "/api/jobs/{job}/restart"}, [("hold", "resume", "path")]),
        ({"note_in": "job", "job_path": "/api/jobs/{job}"}, []),
    ],
)
def test_check_refuses_a_note_that_no_answer_has(change: dict[str, Any], faults: list[tuple[str, ...]]) -> None:
    reason = {"type": "object", "properties": {"reason": {"type": "string"}}}
    job = {"type": "object", "properties": {"on": {"type": "boolean"}, "suspension": reason}}
    jobs = {"type": "object", "properties": {"jobs": {"type": "array", "items": job}}}
    body = {"content": {"application/json": {"schema": reason}}}

    def answer(schema: Any) -> dict[str, Any]:
        return {"responses": {"200": {"content": {"application/json": {"schema": schema}}}}}

    paths = {
        "/api/jobs": {"get": answer(jobs)},
        "/api/jobs/{id}": {"get": answer(job)},
        "/api/jobs/{id}/suspend": {"post": {"requestBody": body, **answer(job)}},
        "/api/jobs/{id}/resume": {"post": answer(job)},
    }
    text = json.dumps({"openapi": "3.0.0", "info": {}, "paths": paths})
    result = compare(profile_with({**BY_REASON, **change}), "https://batch.internal", text)
    assert faults == [key for key, _ in result.faults if key[0] == "hold"]


def test_a_pause_and_its_end_send_the_key_of_their_action_as_a_header() -> None:
    fake, header = Pausing(), {"Idempotency-Key": "{key}"}
    sent = list[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        sent.extend(request.headers.get_list("idempotency-key"))
        return fake.handle(request)

    resume = {"path": "/api/jobs/{job}/resume", "headers": header}
    profile = profile_with({**BY_REASON, "headers": header, "resume": resume})
    options = profile.system_options().model_validate({"url": "https://batch.internal"})
    connector = profile.open_target(options, "api", lambda _: "", httpx.MockTransport(answer))
    keys = [new_key(), new_key()]
    hold = connector.preview(hold_ask("load"), 5)
    assert "Idempotency-Key: <key>" in hold.native_calls[0]
    connector.act(hold, keys[0], 5)
    release = connector.preview(release_ask("load", keys[0]), 5)
    connector.act(release, keys[1], 5)
    assert keys == sent
    assert ("the release starts nothing, and Headway cannot start this job: a run that was missed stays missed",) == (
        release.notes
    )


@pytest.mark.parametrize("term", ["{key}", "{nonsense}", "Bearer {option.token}"])
def test_a_header_of_every_request_fills_in_no_name(term: str) -> None:
    """It went out as it is written."""
    with pytest.raises(ValidationError) as raised:
        HttpProfile.model_validate(
            {**profile_with(BY_FLAG).model_dump(exclude_unset=True), "headers": {"Idempotency-Key": term}}, context={}
        )
    [error] = [error for error in raised.value.errors() if error["loc"][0] == "headers"]
    assert "Idempotency-Key" in error["loc"]
    assert term[term.index("{") :] in error["msg"]
    assert "Fix: name it in the headers of its call, as verbs.rerun.headers" in error["msg"]


@pytest.mark.parametrize("status", [403, 404, 429])
def test_a_second_call_that_is_refused_leaves_the_outcome_unknown(status: int) -> None:
    """The first was done: "nothing was done" would be wrong, and a repeat of it."""
    fake = Pausing()

    def handle(request: httpx.Request) -> httpx.Response:
        if fake.refused and request.method == fake.refused and request.url.path.startswith("/api/jobs/load"):
            return httpx.Response(status, json={"message": "not now"})
        return fake.handle(request)

    profile = profile_with(BY_CALLS)
    options = profile.system_options().model_validate({"url": "https://batch.internal"})
    connector, key = profile.open_target(options, "api", lambda _: "", httpx.MockTransport(handle)), new_key()
    preview = connector.preview(hold_ask("load"), 5)
    fake.refused = "POST"
    with pytest.raises(OutcomeUnknown, match=r"PUT /api/jobs/\{job\} was done, then: .* not now"):
        connector.act(preview, key, 5)
    assert isinstance(connector.look_up(preview, key, 5), ActionAbsent)
    fake.refused = ""
    connector.act(preview, key, 5)
    preview = connector.preview(release_ask("load", key), 5)
    fake.refused = "PUT"
    with pytest.raises(OutcomeUnknown):
        connector.act(preview, new_key(), 5)
    assert True is fake.jobs[0]["on"]
