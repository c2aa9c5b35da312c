"""What a world gives to the conformance tests of nasty replies, or says why it does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar
from unittest import SkipTest

from connectors.conformance_arrival import ArrivalConformance
from connectors.conformance_support import identity
from connectors.contract import Connector, ConnectorError, Poll, RunRecord

HOOKS = ("answering", "crowded", "long_log", "with_a_run_behind", "with_a_right_revoked")


@dataclass
class Heard:
    """What polls told until they ended, or until an error."""

    polls: list[Poll] = field(default_factory=list)
    error: ConnectorError | None = None

    @property
    def runs(self) -> dict[tuple[str, str], RunRecord]:
        return {identity(run): run for poll in self.polls for run in poll.runs}

    @property
    def is_told(self) -> bool:
        """Somebody is told that not all was read."""
        return bool(self.error) or any(one.skipped or one.warnings or not one.complete for one in self.polls)

    @property
    def reasons(self) -> list[str]:
        return [one.reason for poll in self.polls for one in poll.skipped]


class RepliesHooks(ArrivalConformance):
    """One method for each of HOOKS, which a world has of its own, or names in `unplayed` or `elsewhere`."""

    unplayed: ClassVar[Mapping[str, str]] = {}
    """Hooks of this class, and ways of `answering` (of NASTY, and ANY_STATUS), that a world does not play, each with
    one line of why."""
    elsewhere: ClassVar[Mapping[str, str]] = {}
    """Those that other tests play for this kind -> the file of these tests."""
    lists_of_records: ClassVar[int] = 1
    """How many lists of records a poll reads: in each of them `answering` spoils one."""

    def answering(self, how: str) -> Connector:
        """A connector whose every look this world answers as `how` says (one of NASTY, or STATUS and a number)."""
        raise self._unplayed("answering")

    def crowded(self, runs: int) -> Connector:
        """A connector whose source holds so many ended runs, all of which are told from `crowd_begins` on."""
        raise self._unplayed("crowded")

    def crowd_begins(self, connector: Connector) -> str:
        """The cursor at which the crowd is read. A source of which a first look reads the end alone is looked at here
        before its crowd comes."""
        del connector
        return ""

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

    def needs_played(self, what: str) -> None:
        """Skips, with the reason, what this world does not play."""
        if what in self.unplayed:
            raise self._unplayed(what)
        if what in self.elsewhere:
            raise SkipTest(f"{what}: {self.elsewhere[what]} plays it")

    def _unplayed(self, hook: str) -> SkipTest:
        return SkipTest(f"{type(self).__name__} does not play `{hook}`: {self.unplayed.get(hook, 'it says not why')}")
