"""The tests of every connector, on real servers and on recorded replies.

    class TestMyKind(Reads, Logs, Reruns, Deadlines, Faults):
        kind = CONNECTOR

        def connector(self) -> Connector: ...                       # a fresh one, open on the test's world
        def connector_at(self, host, port) -> Connector: ...        # the same, pointed at another address
        def make_success(self) -> str: ...                          # native id of a job with a run that succeeded
        def make_failure(self) -> str: ...                          # native id of a job whose last run failed

A class lists the groups of checks that its kind has capabilities for: `Reads` (always) fails where one is missing
or too many. Kinds that start, cancel or hold have more hooks, documented in `world.ConformanceWorld`.

A hook may return objects of an earlier test. A test declares with `world.requires` what else it needs. A class has only
the tests that its world can play: a missing capability has its reason in `ConnectorKind.missing`, a limit of the world
(recorded replies that accept no rerun) in `limits`, a fault that it does not play in `unplayed`.
"""

from connectors.sdk.conformance.actions import Cancels, Holds, Reruns, Starts
from connectors.sdk.conformance.faults import Faults
from connectors.sdk.conformance.reading import Deadlines, Logs, Reads
from connectors.sdk.conformance.world import ConformanceWorld, check_run, listener, new_key, ref

__all__ = [
    "Cancels", "ConformanceWorld", "Deadlines", "Faults", "Holds", "Logs", "Reads",
    "Reruns", "Starts", "check_run", "listener", "new_key", "ref",
]  # fmt: skip
