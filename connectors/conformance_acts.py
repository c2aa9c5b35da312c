"""The conformance tests of what is done to a scheduler beside a rerun: start and cancel.

Every kind inherits them through `ConnectorConformance`; what its capabilities lack is skipped with the kind's reason.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

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


class ActsConformance(World):
    """What START and CANCEL promise."""

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

    # cancel

    def test_running_run_ends_when_it_is_cancelled_and_is_not_green(self) -> None:
        self.needs("cancel", Capability.CANCEL)
        run, key = self.a_running_run(), new_key()
        with self.opened() as connector:
            preview = self.allowed(connector, Ask(Verb.CANCEL, ref(run), run.state, {"why": "it hangs"}))
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
