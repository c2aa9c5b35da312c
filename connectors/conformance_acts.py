"""The conformance tests of what starts jobs, and of what is done beside a rerun: schedules, start and cancel.

Every kind inherits them through `ConnectorConformance`; what its capabilities lack is skipped with the kind's reason.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from unittest import SkipTest

from connectors.conformance_support import World, check_run, identity, new_key, ref, through_json
from connectors.contract import (
    Absent,
    Ask,
    Capability,
    Connector,
    Found,
    NotSupported,
    Preview,
    RunRecord,
    RunRef,
    State,
    Verb,
    instant_key,
)

SCHEDULES = ("", "next", "expression")
GIVEN = {"day": "2026-11-19", "limit": 5, "dry": False}


class ActsConformance(World):
    """What schedules, START and CANCEL promise."""

    # schedules

    def test_inventory_tells_of_schedules_what_the_kind_says(self) -> None:
        """`ConnectorKind.schedules`: no more, and at its best as much."""
        self.make_success()
        with self.opened() as connector:
            clocks = [job.schedule for job in self.whole_inventory(connector).jobs]
        told = "expression" if any(one.expression for one in clocks) else "next" * any(one.next_at for one in clocks)
        said = self.kind.schedules
        assert SCHEDULES.index(told) <= SCHEDULES.index(said), f"schedules={said!r}, and it tells {told!r}"
        self.needs("schedule")
        if told != said and self.against.startswith(("real", "emulator")):
            raise SkipTest(f"no job of this world tells its {said}")
        assert told == said, f"schedules={said!r}, and the best that it tells is {told!r}"

    # start

    def test_job_starts_once_under_its_key_and_becomes_a_run(self) -> None:
        self.needs("start", Capability.START)
        job_id, key = self.a_startable_job(), new_key()
        with self.opened() as connector:
            cursor = list(self.bites(connector, ""))[-1].cursor
            preview = self.allowed(connector, self.start_ask(job_id))
            assert not isinstance(self.found(connector, preview, key), Found), "a key nobody sent was found"
            assert self.sent(connector, preview, key), "no native reference"
        with self.opened() as connector:
            self.wait("the start is found under its key", lambda: self.arrived(connector, preview, key))
            with suppress(NotSupported):  # the same key again: a receipt or a refusal, never a second run
                connector.act(preview, key, self.timeout_seconds)
            run = self.wait("the run that was started", lambda: self.ended_under(connector, cursor, key))
            assert run.job == job_id, f"the start of {job_id} is told as a run of {run.job}"
            assert self.arrived(connector, preview, key), "found once and then no more"
            self.advance()
            assert len(self.started_under(connector, cursor, key)) == 1, "one key, and more than one run"

    def start_ask(self, job_id: str) -> Ask:
        period = instant_key(datetime.now(UTC).replace(microsecond=0))
        return Ask(Verb.START, RunRef(job_id, period, "", ""), State.PLANNED, {"period_at": period, "why": "it is due"})

    def started_under(self, connector: Connector, cursor: str, key: str) -> dict[tuple[str, str], RunRecord]:
        """The runs since `cursor` that carry our key, by identity."""
        runs = (one for poll in self.bites(connector, cursor) for one in poll.runs if one.action_key == key)
        return {identity(one): one for one in runs}

    def ended_under(self, connector: Connector, cursor: str, key: str) -> RunRecord | None:
        runs = self.started_under(connector, cursor, key).values()
        return next((one for one in runs if not one.state.is_open), None)

    def test_what_is_given_along_is_shown_and_is_what_the_run_got(self) -> None:
        """START with a "conf", of kinds that take one (`ConnectorKind.takes`)."""
        self.needs("start", Capability.START)
        if "conf" not in self.kind.takes.get(Verb.START, frozenset()):
            raise SkipTest(f"{self.kind.kind} takes nothing along with a start")
        job_id, key = self.a_startable_job(), new_key()
        asked = self.start_ask(job_id)
        with self.opened() as connector:
            for odd in (["a"], "text", {"much": "x" * 100_000}, {"at": float("nan")}):
                told = connector.preview(replace(asked, parameters={**asked.parameters, "conf": odd}), 5)
                assert told.refused, f"a conf that cannot be sent is not refused: {str(odd)[:40]}"
            cursor = list(self.bites(connector, ""))[-1].cursor
            preview = self.allowed(connector, replace(asked, parameters={**asked.parameters, "conf": GIVEN}))
            calls = "\n".join(preview.native_calls)
            assert all(f'"{name}"' in calls and json.dumps(value) in calls for name, value in GIVEN.items()), calls
            assert self.sent(connector, preview, key), "no native reference"
            run = self.wait("the run that was started", lambda: self.ended_under(connector, cursor, key))
            assert run.context.get("conf") == GIVEN, f"it was given {GIVEN}, and the run tells {run.context}"

    # cancel

    def test_running_run_ends_when_it_is_cancelled_and_is_not_green(self) -> None:
        self.needs("cancel", Capability.CANCEL)
        run, key = self.a_running_run(), new_key()
        with self.opened() as connector:
            preview = self.allowed(connector, Ask(Verb.CANCEL, ref(run), run.state, {"why": "it hangs"}))
            assert preview.overlap is None, f"what is to end is told as in the way of its own end: {preview.overlap}"
            assert self.sent(connector, preview, key), "no native reference"
        with self.opened() as connector:
            ended = self.wait("the end of the cancelled run", lambda: self.ended(connector, run))
            assert ended.state != State.SUCCEEDED, f"cancelled and green: {ended}"
            check_run(ended)
            assert not isinstance(self.found(connector, preview, key), Absent), "it ended, and its look-up says absent"

    def ended(self, connector: Connector, run: RunRecord) -> RunRecord | None:
        """The run as it is told now, handed back as open; None while it has not ended."""
        told = self.runs_of(connector, run.job).get(identity(run))
        return told if told is not None and not told.state.is_open else None

    def test_cancel_of_a_run_that_is_over_is_refused(self) -> None:
        self.needs("cancel", Capability.CANCEL)
        job_id = self.make_success()
        with self.opened() as connector:
            over = [run for run in self.runs_of(connector, job_id).values() if not run.state.is_open]
            assert over, f"no run of {job_id} that is over"
            with suppress(NotSupported):
                preview = connector.preview(Ask(Verb.CANCEL, ref(over[-1]), over[-1].state), self.timeout_seconds)
                assert preview.refused, f"a run that is over would be cancelled: {preview.words}"

    # helpers

    def allowed(self, connector: Connector, ask: Ask) -> Preview:
        """The preview as it comes back from the store. Fails where it is refused."""
        preview = connector.preview(ask, self.timeout_seconds)
        assert preview.refused is None, f"refused: {preview.refused}"
        return through_json(preview)

    def refuses(self, connector: Connector, preview: Preview, key: str) -> None:
        """Sends it all the same, as if the world had changed after the preview. Fails unless the source says no."""
        with suppress(NotSupported):
            connector.act(preview, key, self.timeout_seconds)
            raise AssertionError(f"sent although the world says no: {preview.words}")

    def arrived(self, connector: Connector, preview: Preview, key: str) -> bool:
        return isinstance(self.found(connector, preview, key), Found)
