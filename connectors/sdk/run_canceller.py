"""CANCEL by one call: previewed and sent while the run is open, found by the run's state."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from connectors.sdk.action_router import Plan
from connectors.sdk.contract import (
    ActionAbsent,
    ActionFound,
    ActionSpec,
    ActionUnknown,
    LookUpResult,
    Preview,
    Receipt,
)
from connectors.sdk.errors import ActionRefused, NotSupported
from connectors.sdk.records import RunRef
from connectors.sdk.states import RunState

WHY_CHARACTERS = 500


class RunNow(NamedTuple):
    """A run as its source has it now."""

    ref: str
    """Its reference in receipts."""
    name: str
    """Its name in messages."""
    native: str
    state: RunState


class RunCanceller:
    """A `RunPart` for CANCEL. A kind says how its run is read and ended; one that records who ended it overrides
    `look_up`."""

    plans: ClassVar[tuple[str, ...]] = ("cancel",)
    source: ClassVar[str]
    """In messages: "Glue"."""
    verb: ClassVar[str] = "cancel"
    unit: ClassVar[str] = "run"
    """The object of `verb`: "job", "step"."""
    notes: ClassVar[tuple[str, ...]]
    shows_cancel: ClassVar[bool] = True
    """Whether a run shows that it is being cancelled: else an open one does not prove that the cancel never arrived."""

    def reference(self, run: RunRef) -> dict[str, Any]:
        """The fields of a plan by which the run is read; empty where the source has no such run."""
        raise NotImplementedError

    def read(self, plan: Plan) -> RunNow:
        """Raises ActionRefused where it is gone, or is another run than that of the plan."""
        raise NotImplementedError

    def call(self, plan: Plan) -> str:
        """The native call, as a preview shows it."""
        raise NotImplementedError

    def send(self, plan: Plan, key: str) -> None:
        raise NotImplementedError

    def preview(self, spec: ActionSpec) -> Preview:
        plan = self.reference(spec.run)
        if not plan:
            raise NotSupported(
                f"{self.source} has no {self.unit} of {spec.run.job}{spec.for_period}, to {self.verb} it"
            )
        plan |= {"how": self.plans[0], "why": str(spec.parameters.get("why") or "")[:WHY_CHARACTERS]}
        run = self._open_run(plan)
        name = f"{self.unit} {run.name} of {spec.run.job}"
        return Preview(
            verb=f"{self.verb} the {self.unit}",
            summary=f"{self.verb} {name}",
            scope=name,
            affected=(run.name,),
            native_calls=(self.call(plan),),
            notes=self.notes,
            plan=plan,
        )

    def act(self, plan: Plan, key: str) -> Receipt:
        run = self._open_run(plan)
        self.send(plan, key)
        return Receipt(run.ref, f"{self.source} accepted: {self.verb} {self.unit} {run.name}")

    def look_up(self, plan: Plan, key: str) -> LookUpResult:
        """The result by the state of the run; another person may have ended it."""
        run = self.read(plan)
        if run.state in (RunState.CANCELLED, RunState.CANCELLING):
            return ActionFound(run.ref, f"{self.source} reports {run.native}, and not who did it")
        if run.state.is_open:
            return ActionAbsent() if self.shows_cancel else ActionUnknown(f"the {self.unit} is still {run.native}")
        return ActionUnknown(f"the {self.unit} is {run.native} now: it ended on its own, or before the cancel arrived")

    def _open_run(self, plan: Plan) -> RunNow:
        """The run, which has not ended: some sources accept to end it again, and change nothing."""
        run = self.read(plan)
        if run.state is RunState.CANCELLING or not run.state.is_open:
            why = "is being cancelled already" if run.state.is_open else "has ended"
            raise ActionRefused(f"{self.unit} {run.name} {why}: {self.source} reports {run.native}")
        return run
