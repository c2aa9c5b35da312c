"""The verdict of an incident as one line: action, latest time, services saved; or the plan that runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from textual.app import ComposeResult

from console.control.incidents.verdict.decision import (
    FixCause,
    Verdict,
    incident_verdict,
    step_verdict,
    urgent_incident,
    urgent_service,
)
from console.control.incidents.verdict.text import (
    later_text,
    remark_text,
    saved_text,
    verdict_action,
    verdict_parts,
)
from console.domain.ids import incident_name
from console.domain.incident import IncidentView, open_steps
from console.domain.plan import PlanView
from console.domain.reason import reasons_text
from console.domain.service import ServiceView
from console.store.queries.reader import Queries
from console.tui.frame import service_groups
from console.tui.frame.cells import RenderContext, counted
from console.tui.frame.screen import HeadwayScreen, ScreenPart
from console.tui.widgets.bar import Bar
from console.tui.widgets.paint import Segment, fit, length_of


class OpenIncident(NamedTuple):
    """An incident, and its plans in progress."""

    view: IncidentView
    plans: tuple[PlanView, ...]

    @classmethod
    def read(cls, reads: Queries, number: int) -> OpenIncident:
        return cls(reads.incidents.incident(number), tuple(reads.plans.list_plans(number, ended=False)))

    @property
    def recover_label(self) -> str:
        """The label of its recovery key, which opens a proposal, else its plan: there it is resumed or approved."""
        return "plan" if self.plans else "recover"


def service_verdict(services: Sequence[ServiceView], ctx: RenderContext, width: int) -> list[Segment]:
    """Of the most urgent service, before its incident is read; without one those that were delivered late."""
    urgent = urgent_service(services, ctx.now)
    if urgent is None:
        return _late_deliveries(services, ctx)
    if urgent.act_by is None or not urgent.cause:
        text = urgent.problem.text(ctx.zoned) if urgent.problem else reasons_text(urgent.reasons, ctx.zoned)
        return [(f" {text or urgent.title}", "warn")]
    same = [view for view in services if view.incident_id == urgent.incident_id]
    return _fitted(step_verdict(FixCause(urgent.cause), urgent.act_by, same, ctx.now), ctx, width)


def _late_deliveries(services: Sequence[ServiceView], ctx: RenderContext) -> list[Segment]:
    """ "Daily revenue 14:12 delivered late at 14:36, and 1 more"; the latest first."""
    late = [(view.delivered, view) for view in services if view.needs_a_person and view.delivered is not None]
    if not late:
        return []
    at, view = max(late, key=lambda delivery: delivery[0])
    suffix = f", and {len(late) - 1} more" if len(late) > 1 else ""
    due = f"{view.title} {ctx.due(view.deadline)}"
    return [(f" {due} delivered late at {ctx.hm(at)}{suffix}", "warn")]


def verdict_lines(opened: OpenIncident, ctx: RenderContext, width: int, *, is_frozen: bool) -> list[list[Segment]]:
    """The verdict of the incident, as far as it fits; its remark behind it, or on a second line."""
    view, plans = opened
    verdict = incident_verdict(view, plans, ctx.now, is_frozen=is_frozen)
    line, remark = _fitted(verdict, ctx, width), remark_text(verdict, ctx.due)
    if not remark:
        return [line]
    if length_of(both := [*line, (f"; {remark}", "mark")]) <= width:
        return [both]
    if length_of(below := [(f" {remark}", "mark")]) > width:
        below = [(f" {remark_text(verdict, ctx.due, is_short=True)}", "mark")]
    return [line, below]


def _fitted(verdict: Verdict, ctx: RenderContext, width: int) -> list[Segment]:
    """With its further parts that fit, and the names of the services that it still saves if they fit, else their
    number, else nothing. The time left goes first, then a restart that follows later, before the services."""
    (whole, style), *further = verdict_parts(verdict, ctx.now, ctx.due)
    action, until = verdict_action(verdict, ctx.now, ctx.due, countdown=False, names_start=False)
    short, later = f"{action}{until}", later_text(verdict, ctx.due)
    forms = [f"{whole}{later}", f"{short}{later}", short]
    texts = [text for text in forms if len(text) < width] or [_cut_before(action, until, width - 1)]
    number = f"saves {counted(len(verdict.saves), 'service')}" if verdict.saves else ""
    if number and not further:
        saves = saved_text(verdict.saves, 1) if verdict.then is None else number
        is_due = verdict.then is not None and verdict.then.at is None
        enough = forms[:2] if is_due else forms
        texts = [text for text in enough if length_of([(f" {text}, {saves}", "")]) <= width] or texts
    first = texts[0]
    line: list[Segment] = [(f" {first}", style)]
    for part in further:
        line += [part] if length_of([*line, part]) <= width else []
    for saves in filter(None, (saved_text(verdict.saves), saved_text(verdict.saves, 1), number)):
        if length_of(with_services := [*line, (f", {saves}", "strong")]) <= width:
            return with_services
    return line


def _cut_before(action: str, until: str, width: int) -> str:
    """Cut before the act-by, the next start or the deadline, which stays."""
    is_cut = length_of([(until, "")]) < width < length_of([(action + until, "")])
    return fit(action, width - length_of([(until, "")])) + until if until and is_cut else action + until


ROOMY = 25
"""Lines of a screen with room for a line that names no incident of its subject."""


class VerdictLine(ScreenPart):
    """The verdict as the line below the title, on every screen the same.

    `incident` returns the open incident that the subject of the screen belongs to, in the query thread; None without
    one. Then the line has the next deadline of the subject's `services`, by name, if the screen has room; without
    `services` there is no line. Without `incident` it is the one to act on first, or that all is well: a line that is
    always there, so that the rows below keep their place, or with `is_optional` where the screen has room. `command`
    names the command of the screen that acts on this incident now; without one the line ends with the incident's name.
    `loaded` is called whenever the incident is read.
    """

    def __init__(
        self,
        screen: HeadwayScreen,
        incident: Callable[[Queries], int | None] | None = None,
        command: Callable[[int], str] = lambda _: "",
        services: Callable[[Queries], Sequence[str]] | None = None,
        is_optional: bool = False,
        loaded: Callable[[], None] = lambda: None,
    ) -> None:
        self._screen, self._incident, self._command, self._services = screen, incident, command, services
        self._is_optional, self._loaded = is_optional, loaded
        self._of_subject: tuple[ServiceView, ...] | None = None
        """Its services while no incident is open; None before they are read."""
        self._bar = Bar(id="verdict")
        self._bar.display = False
        self.opened: OpenIncident | None = None

    @property
    def is_frozen(self) -> bool:
        """True while no action is sent."""
        return self._screen.is_frozen

    def widgets(self) -> ComposeResult:
        yield self._bar

    @property
    def view(self) -> IncidentView | None:
        return self.opened.view if self.opened is not None else None

    @property
    def key_labels(self) -> Mapping[str, str]:
        """The label of the recovery key, if it acts on the incident of this line now."""
        if self.opened is None or not self._command(self.opened.view.row.id):
            return {}
        return {"recover": self.opened.recover_label}

    @property
    def incident_id(self) -> int | None:
        return self.view.row.id if self.view is not None else None

    def fetch(self) -> None:
        board = self._screen.board
        services = board.services if board.header is not None else None
        self._screen.ask("verdict", lambda reads: self._read(reads, services), self._show)

    def _read(
        self, reads: Queries, known: Sequence[ServiceView] | None
    ) -> tuple[OpenIncident | None, tuple[ServiceView, ...] | None]:
        services = reads.services.list_services() if known is None else known
        opened = self._open_incident(reads, services)
        if opened is not None or self._services is None:
            return opened, None
        names = set(self._services(reads))
        return None, tuple(view for view in services if view.name in names)

    def _open_incident(self, reads: Queries, services: Sequence[ServiceView]) -> OpenIncident | None:
        if self._incident is not None:
            number = self._incident(reads)
        else:
            urgent = urgent_service(services, reads.now())
            if urgent is not None:
                number = urgent.incident_id
            else:
                plans = reads.plans.list_plans(ended=False)
                number = urgent_incident((), reads.incidents.list_incidents(), plans, reads.now())
        opened = OpenIncident.read(reads, number) if number is not None else None
        if opened is None or opened.view.row.closed is None:
            return opened
        return opened if any(plan.state == "running" for plan in opened.plans) else None

    def _show(self, answer: tuple[OpenIncident | None, tuple[ServiceView, ...] | None]) -> None:
        self.opened, self._of_subject = answer
        self.paint()
        self._loaded()

    def mounted(self) -> None:
        self.paint()

    def frame_painted(self) -> None:
        self.paint()

    def moved(self) -> None:
        self.paint()

    def resized(self) -> None:
        self.paint()

    def paint(self) -> None:
        board, ctx, (width, height) = self._screen.board, self._screen.ctx, self._screen.size
        services = board.services if self._incident is None else ()
        calm = service_groups.all_well_text(services, board.header, board.store_error, ctx)
        has_room = height >= ROOMY
        if self._of_subject is not None and has_room:
            calm = service_groups.no_incident_text(self._of_subject, board.header, board.store_error, ctx)
        is_needed = bool(services) or self.opened is not None or calm is not None
        self._bar.display = is_needed and (has_room or not self._is_optional)
        if self.opened is not None:
            right, stale = self._right(self.opened.view), self._stale()
            room = width - length_of(right) - 2
            first, *further = verdict_lines(self.opened, ctx, room - length_of(stale), is_frozen=self.is_frozen)
            line = [*stale, *first]
            for text, style in [calm] if calm is not None and not self.opened.view.services else []:
                line += [(f" {ctx.sign('dot')} {text}", style)] if length_of(line) + len(text) + 3 <= room else []
            self._bar.show_lines(
                [(tuple(line), ((" ", "plain"), *right), ""), *((tuple(line), (), "") for line in further)]
            )
        elif calm is not None:
            self._bar.show([(f" {calm[0]}", calm[1])])
        else:
            stale = self._stale()
            self._bar.show([*stale, *service_verdict(services, ctx, width - 1 - length_of(stale))])

    def _stale(self) -> list[Segment]:
        """Without an engine, when it decided last."""
        board = self._screen.board
        stopped = board.header.engine.stopped_at if board.header is not None else None
        return [(f" as of {self._screen.ctx.hm(stopped)}:", "warn")] if stopped is not None else []

    def _right(self, view: IncidentView) -> list[Segment]:
        number, steps = view.row.id, view.joint_restarts or open_steps(view)[:1]
        is_requested = bool(steps) and all(step.awaits_approval for step in steps)
        is_actionable = view.row.closed is None and not is_requested
        if (command := self._command(number)) and is_actionable:
            label = self.key_labels.get(command, command)
            return [(self._screen.key_for(command), "key"), (f" {label} ", "plain")]
        return [(f"{incident_name(number)} ", "key")]
