"""The conformance tests of what is on its way: a slow connect leaves no trace at the source, and arrives all the same.

Whoever looks may be another engine, which knows nothing of the thread that sends: only time proves an absence.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from connectors.arrival import SEND_SECONDS
from connectors.conformance_holds import HoldConformance, hold_ask, release_ask
from connectors.conformance_support import new_key, ref
from connectors.contract import SENT_AT, Absent, Ask, Capability, ConnectorError, Preview, Verb, instant_key


class ArrivalConformance(HoldConformance):
    """Absent is never said while a sender may still arrive."""

    def test_rerun_that_may_still_arrive_is_not_absent(self) -> None:
        self.needs("network")
        self.needs("rerun", Capability.RERUN)
        self.check_on_its_way(self.ask(self.latest(self.a_rerunnable_failure())))

    def test_start_that_may_still_arrive_is_not_absent(self) -> None:
        self.needs("network")
        self.needs("start", Capability.START)
        self.check_on_its_way(self.start_ask(self.a_startable_job()))

    def test_cancel_that_may_still_arrive_is_not_absent(self) -> None:
        self.needs("network")
        self.needs("cancel", Capability.CANCEL)
        run = self.a_running_run()
        self.check_on_its_way(Ask(Verb.CANCEL, ref(run), run.state))

    def test_hold_or_release_that_may_still_arrive_is_not_absent(self) -> None:
        self.needs("network")
        self.needs("hold", Capability.HOLD)
        job_id = self.a_holdable_job()
        self.check_on_its_way(hold_ask(job_id))
        with self.held(job_id) as (key, _):
            self.check_on_its_way(release_ask(job_id, key))

    def check_on_its_way(self, ask: Ask) -> None:
        """Its intent was written down just now, and nothing of it is at the source yet."""
        with self.opened() as connector:
            preview = self.allowed(connector, ask)
            sent = replace(preview, plan={**preview.plan, SENT_AT: instant_key(datetime.now(UTC))})
            answer = self.found(connector, sent, new_key())
        assert not isinstance(answer, Absent), f"{ask.verb}: called absent while its sender may still connect"
        self.check_too_late(preview)

    def check_too_late(self, preview: Preview) -> None:
        """A process that stood still since its intent sends nothing: another engine may have called it absent."""
        late = datetime.now(UTC) - timedelta(seconds=SEND_SECONDS + 1)
        with self.opened() as connector:
            try:
                connector.act(replace(preview, plan={**preview.plan, SENT_AT: instant_key(late)}), new_key(), 20)
            except ConnectorError:
                return
        raise AssertionError(f"{preview.verb}: sent {SEND_SECONDS:.0f} s after its intent")
