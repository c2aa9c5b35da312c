"""What a world gives to the conformance tests of nasty replies, or says why it does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar
from unittest import SkipTest

from connectors.conformance_arrival import ArrivalConformance
from connectors.contract import Connector, RunRecord

HOOKS = ("answering", "crowded", "long_log", "with_a_run_behind", "with_a_right_revoked")


class RepliesHooks(ArrivalConformance):
    """One method for each of HOOKS, which a world has of its own, or names in `unplayed`."""

    unplayed: ClassVar[Mapping[str, str]] = {}
    """Hooks of this class that a world does not play, by name, each with one line of why."""
    lists_of_records: ClassVar[int] = 1
    """How many lists of records a poll reads: in each of them `answering` spoils one."""

    def answering(self, how: str) -> Connector:
        """A connector whose every look this world answers as `how` says (one of NASTY, or STATUS and a number).
        Raises SkipTest, with the reason, for what this kind of source cannot send."""
        raise self._unplayed("answering")

    def crowded(self, runs: int) -> Connector:
        """A connector whose source holds so many ended runs."""
        raise self._unplayed("crowded")

    def long_log(self, size: int) -> tuple[Connector, RunRecord]:
        """A connector, and a run of it whose log has so many bytes."""
        raise self._unplayed("long_log")

    def with_a_run_behind(self) -> tuple[Connector, Callable[[], str]]:
        """A connector, and what is called after its first bite: it puts a failed run behind what was read (in a page
        that was asked for already, under a number below the newest), and answers its attempt_key."""
        raise self._unplayed("with_a_run_behind")

    def with_a_right_revoked(self) -> Connector:
        """A connector whose account lost a right that it had."""
        raise self._unplayed("with_a_right_revoked")

    def _unplayed(self, hook: str) -> SkipTest:
        return SkipTest(f"{type(self).__name__} does not play `{hook}`: {self.unplayed.get(hook, 'it says not why')}")
