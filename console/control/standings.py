"""What each run is worth to those who read it, from the sources down: good since when, stale, partial.

Staleness. A run is good from the end of its first success that started after all of its upstreams were good. A
downstream run that has started is stale while it has no such success: it started before its upstream of that business
date had succeeded, or the upstream is red, or stale itself. An upstream that is UNKNOWN, PARTIAL, SKIPPED or out of
sight is neither green nor red, and makes nobody stale.

Partial inputs. What is PARTIAL, or whose output shrank, is told by everything that read it, and by what read that: a
run has a partial input until it has started after all that it reads was whole. It is no reason to be stale.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

from connectors.contract import State
from console.clean import clean_line
from console.control.expected import has_started
from console.control.gates import Seen, seen, seen_run, stands
from console.control.graph import Edge, Gate
from console.control.mapping import look_of
from console.control.moments import BEGINNING, NEVER, Key, anchor, began_after, key_of, successes, when
from console.control.remembered import Found, Remembered
from console.control.standing import UNREAD, Standing
from console.model.values import RunFacts

if TYPE_CHECKING:
    from console.control.picture import Picture


class Standings:
    """Of all runs of a picture, each once. `shrunk`: run id -> until when its output is known to be partial."""

    def __init__(
        self,
        picture: Picture,
        earlier: Sequence[RunFacts],
        shrunk: Mapping[int, datetime],
        memory: Remembered | None = None,
    ) -> None:
        self._picture = picture
        self._memory = memory
        self._early = {run.job_id for run in earlier}
        self._shrunk = shrunk
        self._found: dict[Key, Standing] = {key_of(run): _as_judged(run) for run in earlier}
        self._were: dict[int, tuple[Standing, ...] | None] = {}
        self._otherwise: dict[int, bool] = {}
        self._judged = False
        self._plain: dict[tuple[int, date, datetime], datetime | None] = {}

    def of(self, run: RunFacts) -> Standing:
        if not self._judged:
            self._judged = True
            self._judge()
        key = (run.job_id, run.period_key)
        found = self._found.get(key)
        if found is None:
            self._found[key] = UNREAD
            found = self._found[key] = self._as_before(run) or self._stand(run)
        return found

    def _as_before(self, run: RunFacts) -> Standing | None:
        """As it is remembered; None for what is to be found anew."""
        known = self._memory.get(run.job_id) if self._memory is not None else None
        if known is None or known.standings is None or known.merged is None:
            return None
        pairs = zip(known.merged, known.standings, strict=True)
        return next((stands for one, stands in pairs if one.period_key == run.period_key), None)

    def _judge(self) -> None:
        """Every run that has upstreams, from the sources down: no walk is as deep as the graph. Of a loop through the
        previous period the older runs come first."""
        graph, runs = self._picture.graph, self._picture.runs
        if self._memory is not None:
            self._judge_anew(self._memory)
            return
        for batch in graph.batches():
            found = [run for job_id in batch for run in runs.get(job_id, ())]
            if len(batch) > 1:
                ranks = {job_id: rank for rank, job_id in enumerate(graph.ordered(batch))}
                found.sort(key=lambda run: (when(run), ranks[run.job_id]))
            for run in found:
                self.of(run)

    def _judge_anew(self, memory: Remembered) -> None:
        """The same, and of their tasks, where something that they read is another; the others stand as before."""
        graph = self._picture.graph
        for batch in graph.batches_of(self._picture.runs):
            is_plain = len(batch) == 1 and graph.gates(batch[0]) is None
            read = (each for edge in graph.into(batch[0]) for each in edge.reads)
            anew = not is_plain or any(self._reads_otherwise(memory, each) for each in read)
            jobs = [each for job_id in batch for each in (job_id, *graph.tasks(job_id))]
            asked = [each for each in jobs if self._is_asked(memory, each, anew)]
            if len(batch) > 1:
                ranks = {job_id: rank for rank, job_id in enumerate(graph.ordered(batch))}
                found = [run for job_id in asked for run in self._picture.runs.get(job_id, ())]
                for run in sorted(found, key=lambda run: (when(run), ranks.get(run.job_id, len(ranks)))):
                    self.of(run)
            for job_id in asked:
                self._keep(memory, job_id)

    def _is_asked(self, memory: Remembered, job_id: int, anew: bool) -> bool:
        """True for a job whose runs must be looked at again; then nothing of it is remembered any more."""
        known = memory.get(job_id)
        if known is None or known.merged is None:
            return False
        if known.standings is not None and not anew and not self._is_shrunk_otherwise(known):
            return False
        before = memory.before(job_id) if memory.is_new(job_id) else known
        self._were[job_id] = before.standings if before is not None else None
        known.standings = known.judgements = None
        return True

    def _is_shrunk_otherwise(self, found: Found) -> bool:
        return found.shrunk != self._shrunk_of(found) or found.job.id in self._early

    def _shrunk_of(self, found: Found) -> tuple[object, ...]:
        if not self._shrunk:
            return ()
        return tuple((run.id, self._shrunk[run.id]) for run in found.merged or () if run.id in self._shrunk)

    def _keep(self, memory: Remembered, job_id: int) -> None:
        """Remembers how its runs stand, unless that may change by time alone, or by what is read of long ago."""
        known = memory.get(job_id)
        assert known is not None
        stands = tuple(self.of(run) for run in known.merged or ())
        self._otherwise[job_id] = (
            stands != self._were[job_id] or self._is_shrunk_otherwise(known) or memory.reads_otherwise(job_id)
        )
        known.shrunk = self._shrunk_of(known)
        if job_id not in self._early and all(run.started_at or not successes(run) for run in known.merged or ()):
            known.standings = stands

    def _reads_otherwise(self, memory: Remembered, job_id: int) -> bool:
        """True where the job's runs may be worth something else than at the last evaluation to those who read them."""
        if job_id not in self._otherwise:
            known = memory.get(job_id)
            otherwise = memory.reads_otherwise(job_id) or (known is not None and self._is_shrunk_otherwise(known))
            self._otherwise[job_id] = otherwise
            if known is not None:
                known.shrunk = self._shrunk_of(known)
        return self._otherwise[job_id]

    def _stand(self, run: RunFacts) -> Standing:
        if (run.started_at is None or not has_started(run)) and not successes(run):
            return UNREAD
        if self._is_plainly_good(run):
            return Standing(run.ended_at, stale=False)
        needed, whole_from, words = self._needs(run)
        ready = needed < NEVER
        clean = [span for span in successes(run) if ready and began_after(span[0], needed)]
        good_at = min((ended for _, ended in clean), default=None)
        if run.started_at is None or not has_started(run):
            return Standing(good_at, stale=False)
        stale = not clean and not (ready and began_after(run.started_at, needed))
        own = self._own_part(run) if run.state is State.PARTIAL or run.id in self._shrunk else ""
        if not words and not own:
            return Standing(good_at, stale)
        partial = "" if began_after(run.started_at, whole_from) else words
        since = self._shrunk.get(run.id, BEGINNING)
        whole = [ended for began, ended in clean if began_after(began, whole_from) and ended > since]
        if run.state is State.PARTIAL:
            return Standing(good_at, stale, partial, None, own)
        return Standing(good_at, stale, partial, min(whole, default=None), own or words)

    def _is_plainly_good(self, run: RunFacts) -> bool:
        """True for what nearly all runs are: one whole success, begun when all that it reads had long been good."""
        if run.state is not State.SUCCEEDED or run.successes or run.id in self._shrunk or not run.attempt:
            return False
        if run.started_at is None or run.ended_at is None:
            return False
        graph = self._picture.graph
        unit = graph.unit(run.job_id)
        edges = graph.into(unit)
        if graph.gates(unit) is not None:
            return False
        good = self._plainly_good(unit, run.bd, anchor(run), edges) if edges else BEGINNING
        return good is not None and began_after(run.started_at, good)

    def _own_part(self, run: RunFacts) -> str:
        """What is partial in it by itself."""
        name = clean_line(self._picture.job(run.job_id).name)
        how = "partial" if run.state is State.PARTIAL else "found to be partial"
        return f"read {name} of {run.bd.isoformat()}, which was {how}"

    def _needs(self, run: RunFacts) -> tuple[datetime, datetime, str]:
        """Since when all that the run reads is good, and whole; and what was partial of it before."""
        graph = self._picture.graph
        unit = graph.unit(run.job_id)
        gates = graph.gates(unit)
        if gates is not None:
            return _joined(self._of_gates(run, gates))
        edges = graph.into(unit)
        if not edges:
            return _NOTHING
        good = self._plainly_good(unit, run.bd, anchor(run), edges)
        if good is not None and began_after(run.started_at or self._picture.now, good):
            return good, BEGINNING, ""
        return self._of_edges(run, edges)

    def _plainly_good(self, unit: int, bd: date, at: datetime, edges: Iterable[Edge]) -> datetime | None:
        """Since when all is good that runs of the job and of its tasks read which look back from there; None where more
        must be asked, because something has not succeeded, or is partial."""
        place = (unit, bd, at)
        if place not in self._plain:
            self._plain[place] = self._good_in_all(bd, at, edges)
        return self._plain[place]

    def _good_in_all(self, bd: date, at: datetime, edges: Iterable[Edge]) -> datetime | None:
        read_by, good = self._picture.read_by, BEGINNING
        for edge in edges:
            for read in edge.reads:
                upstream = read_by(read, bd, at)
                if upstream is None:
                    continue
                if upstream.state is not State.SUCCEEDED:
                    return None
                known = self.of(upstream)
                if known.tainted or known.good_at is None:
                    return None
                good = max(good, known.good_at)
        return good

    def _of_gates(self, run: RunFacts, gates: Iterable[Gate]) -> Iterator[Seen]:
        look = look_of(run, self._picture.now)
        for gate in gates:
            yield stands(gate, [seen(self._picture, read, look) for read in gate.reads])

    def _of_edges(self, run: RunFacts, edges: Iterable[Edge]) -> tuple[datetime, datetime, str]:
        """The same where each must be good on its date, as nearly always: what is plainly so costs little."""
        picture, at, by = self._picture, anchor(run), run.started_at or self._picture.now
        good, rest = BEGINNING, list[Seen]()
        for edge in edges:
            for read in edge.reads:
                upstream = picture.read_by(read, run.bd, at)
                if upstream is None:
                    continue
                known = self.of(upstream) if upstream.state is State.SUCCEEDED else None
                if known is None or known.tainted:
                    rest.append(seen_run(picture, upstream, by))
                    continue
                good_at = known.good_at or NEVER
                if not began_after(by, good_at) and picture.standing_in(upstream, by) is not upstream:
                    rest.append(seen_run(picture, upstream, by))
                elif good_at > good:
                    good = good_at
        return _joined(rest, good) if rest else (good, BEGINNING, "")


_NOTHING = (BEGINNING, BEGINNING, "")


def _joined(found: Iterable[Seen], good: datetime = BEGINNING) -> tuple[datetime, datetime, str]:
    whole, words = BEGINNING, ""
    for each in found:
        good = max(good, each.good)
        if each.words:
            whole, words = max(whole, each.whole), words or each.words
    return good, whole, words


def _as_judged(run: RunFacts) -> Standing:
    """Of a run of before the lookback: what it read is out of view."""
    clean = [] if run.stale_read else [ended for _, ended in successes(run)]
    tainted = run.partial_input or ("it was partial" if run.state is State.PARTIAL else "")
    whole = None if tainted else min(clean, default=None)
    return Standing(min(clean, default=None), run.stale_read, run.partial_input, whole, tainted)
