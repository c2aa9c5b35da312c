"""EMR actions: CancelSteps, and the reasons for missing ones."""

from __future__ import annotations

from typing import Any

from connectors.emr import parse
from connectors.emr.client import EmrClient
from connectors.sdk.action_router import Plan
from connectors.sdk.records import RunRef
from connectors.sdk.run_canceller import RunCanceller, RunNow
from connectors.sdk.states import Capability, RunState

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


class EmrCanceller(RunCanceller):
    source, unit = "EMR", "step"
    notes = ("a running step is interrupted; a YARN application that it started may continue",)

    def __init__(self, client: EmrClient) -> None:
        self._client = client

    def reference(self, run: RunRef) -> dict[str, Any]:
        cluster, step = parse.place(run)
        return {"cluster": cluster, "step": step} if step else {}

    def read(self, plan: Plan) -> RunNow:
        step = self._client.step(str(plan["cluster"]), str(plan["step"]))
        native = parse.state_of(step)
        return RunNow(str(plan["step"]), str(plan["step"]), native, parse.STATES.get(native, RunState.UNKNOWN))

    def call(self, plan: Plan) -> str:
        return f"emr:CancelSteps ClusterId={plan['cluster']} StepIds=[{plan['step']}]"

    def send(self, plan: Plan, key: str) -> None:
        self._client.cancel(str(plan["cluster"]), str(plan["step"]))
