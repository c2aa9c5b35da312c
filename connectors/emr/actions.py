"""EMR actions: CancelSteps, and the reasons for missing ones."""

from __future__ import annotations

from connectors.emr import parse
from connectors.emr.client import EmrClient
from connectors.sdk.action_router import ActionPart, Plan, VerbRouter, routes
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, LookUpResult, Preview, Receipt
from connectors.sdk.errors import NotSupported
from connectors.sdk.states import Capability, Verb

NO_START = "a step takes no key of ours, and its cluster may have ended: submit it again in the program that adds it"
MISSING = {
    Capability.RERUN: NO_START,
    Capability.START: NO_START,
    Capability.HOLD: "EMR has no clock: hold what adds the steps",
    Capability.MARK: "EMR cannot set a step's result; Headway records it as asserted",
    Capability.LOG: "EMR writes the log of a step to S3: see the message of the run, and the Spark history server",
    Capability.TASKS: "a step is read as a whole",
    Capability.PERIODS: "a step carries no date",
    Capability.NATIVE_DEPENDENCIES: "declare dependencies in the config",
}


class EmrActions(VerbRouter):
    _client: EmrClient

    def __init__(self, client: EmrClient, settle_seconds: float) -> None:
        parts = {Verb.CANCEL: ActionPart(("cancel",), self._preview_cancel, self._cancel, self._look_up_cancel)}
        super().__init__("EMR", client, *routes(parts), MISSING, settle_seconds)

    def _preview_cancel(self, spec: ActionSpec) -> Preview:
        cluster, step_id = parse.place(spec.run)
        if not step_id:
            raise NotSupported(f"EMR can only cancel a step that it has: {spec.run.job} {spec.run.period_key}")
        step = self._client.step(cluster, step_id)
        return Preview(
            verb="cancel",
            summary=f"cancel step {step_id} of {spec.run.job}",
            scope=f"step {step_id} of cluster {cluster}",
            affected=(step_id,),
            native_calls=(f"emr:CancelSteps ClusterId={cluster} StepIds=[{step_id}]",),
            notes=("a running step is interrupted; a YARN application that it started may continue",),
            refused=None if parse.is_open(step) else f"{step_id} has ended: {parse.state_of(step)}",
            plan={"how": "cancel", "cluster": cluster, "step": step_id},
        )

    def _cancel(self, plan: Plan, key: str) -> Receipt:
        cluster, step_id = str(plan["cluster"]), str(plan["step"])
        step = self._client.step(cluster, step_id)
        if not parse.is_open(step):
            raise NotSupported(f"{self._client.place}: {step_id} has ended: {parse.state_of(step)}; nothing was sent")
        self._client.cancel(cluster, step_id)
        return Receipt(step_id, "it is being cancelled")

    def _look_up_cancel(self, plan: Plan, key: str) -> LookUpResult:
        """By the step's state: EMR does not record who cancelled it."""
        step_id = str(plan["step"])
        native = parse.state_of(self._client.step(str(plan["cluster"]), step_id))
        if native in ("CANCEL_PENDING", "CANCELLED"):
            return ActionFound(step_id, f"{native}; EMR does not record who cancelled it")
        return ActionAbsent()
