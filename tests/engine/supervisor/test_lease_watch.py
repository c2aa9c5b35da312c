"""The lease that an engine watches."""

from __future__ import annotations

import math
import threading

from console.engine.supervisor.engine import LeaseWatch


def test_a_late_renewal_does_not_revoke_that_the_workers_must_stop() -> None:
    """A pool that had removed its targets went on without them, until the engine was restarted by hand."""
    watch = LeaseWatch(threading.Event(), valid_until=-math.inf)
    assert watch.stopping()
    watch.valid_until = math.inf
    assert watch.stopping()
