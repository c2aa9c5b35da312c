"""Where a job did not run on a night that stands for tonight, another of its own nights stands in.

Source: hot-deck imputation (Andridge & Little 2010): a gap takes a value that was seen, of the same job."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from console.control.forecast.simulation.values import Floats, Truths, Whole

STRIDE = 7
"""From one gap to the next, so that gaps side by side take different nights."""
FEWEST = 3
"""Of the nights that have columns, for a job to fill its gaps from them alone."""


@dataclass(frozen=True, slots=True)
class StandIns:
    """By gap, of places and columns."""

    place: Whole
    column: Whole
    of: Whole
    """The column that stands in."""
    rare: Whole
    """Places that ran on few of the nights that have columns."""
    nights: Whole
    """Of these, places x columns: the night that stands in, of all nights."""

    def fill(self, drawn: Floats, first: int, away: Floats, errors: Floats) -> None:
        """`drawn`: columns of the places from `first` on, in place; `away`: all jobs x nights, of which `errors` makes
        what each night missed."""
        mine = slice(*np.searchsorted(self.place, [first, first + len(drawn)]))
        place = self.place[mine] - first
        drawn[place, self.column[mine]] = drawn[place, self.of[mine]]
        rare = slice(*np.searchsorted(self.rare, [first, first + len(drawn)]))
        drawn[self.rare[rare] - first] = np.take_along_axis(away[self.rare[rare]] @ errors, self.nights[rare], axis=1)


def stand_ins(ran: Truths, order: Whole, night: Whole) -> StandIns:
    """`ran`: nights x jobs; `order`: job by place; `night`: by column, newest first."""
    by_column = ran[night][:, order].T
    counts = by_column.sum(axis=1)
    gappy = np.flatnonzero((counts >= FEWEST) & (counts < len(night)))
    place, column = np.nonzero(~by_column[gappy])
    have = np.argsort(~by_column[gappy], axis=1, kind="stable")
    turn = np.concatenate([np.arange(each) for each in len(night) - counts[gappy]] or [np.zeros(0, np.intp)])
    of = have[place, (turn * STRIDE) % counts[gappy][place]]
    rare = np.flatnonzero((counts < FEWEST) & np.asarray(ran.any(axis=0))[order])
    nights = np.array([_of_all(ran[:, order[each]], night) for each in rare], np.intp).reshape(len(rare), len(night))
    return StandIns(gappy[place], column.astype(np.int16), of.astype(np.int16), rare, nights)


def _of_all(ran: Truths, night: Whole) -> Whole:
    """By column: the night itself where it ran, else one of its nights in turn, the newest first."""
    have = np.flatnonzero(ran)[::-1]
    return np.where(ran[night], night, have[(np.arange(len(night)) * STRIDE) % len(have)])
