"""What may be asked of a job, and who answers it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.arrival import unless_on_its_way
from connectors.contract import Absent, Ask, CannotTell, Found, LookUp, NotSupported, Preview, Receipt, Verb
from connectors.slurm import parse
from connectors.slurm.choice import Choice
from connectors.slurm.client import SlurmClient, call
from connectors.slurm.hold import Holds
from connectors.slurm.poll import reference
from connectors.slurm.rerun import Reruns
from connectors.slurm.situation import check_key, latest, sent, situation


class SlurmActs:
    """The verbs of one cluster."""

    def __init__(self, client: SlurmClient, choice: Choice, reruns: Reruns, holds: Holds) -> None:
        self._client, self._choice, self._reruns, self._holds = client, choice, reruns, holds

    def preview(self, ask: Ask) -> Preview:
        """What `act` would send. NotSupported for verbs that Slurm has not."""
        if ask.verb in (Verb.RERUN, Verb.START):
            return self._reruns.preview(ask)
        if ask.verb in (Verb.HOLD, Verb.RELEASE):
            return self._holds.preview(ask)
        if ask.verb is Verb.CANCEL:
            return self._cancelling(ask)
        raise NotSupported(f'Slurm has no "{ask.verb}"; what it has is: rerun, start, cancel, hold, release')

    def act(self, preview: Preview, key: str) -> Receipt:
        """Sends it once under `key`."""
        check_key(key)
        plan = preview.plan
        if plan.get("way") in ("requeue", "submit"):
            return self._reruns.act(plan, key)
        if plan.get("way") in ("hold", "release"):
            return self._holds.act(plan, key)
        if plan.get("way") != "cancel":
            raise NotSupported("this preview was refused: there is nothing to send")
        base = str(plan["id"])
        sent(self._client, call("cancel", base, latest(plan)), f"job {base}", str(plan["user"]))
        return Receipt(base, f"scancel {base} was accepted")

    def look_up(self, preview: Preview, key: str) -> LookUp:
        """By our mark; a cancel by the end of its job."""
        check_key(key)
        plan = preview.plan
        if plan.get("way") in ("requeue", "submit"):
            answer = self._reruns.look_up(plan, key)
        elif plan.get("way") in ("hold", "release"):
            answer = self._holds.look_up(plan, key)
        else:
            answer = self._cancelled(plan)
        return unless_on_its_way(answer, preview)

    def _cancelling(self, ask: Ask) -> Preview:
        ref = reference(ask.run)
        base, user = parse.base_of(str(ref.get("part", ""))), str(ref.get("user", ""))
        if not base:
            raise NotSupported(f"{ask.run.job}: no job id is known for this run")
        now = situation(self._client.ask(["host", "level", call("job", base)]), self._client.where)
        live = [one for one in now.parts if one.is_open]
        newest = max((one.submit for one in now.parts), default=0)
        refused = now.refusal(user)
        if not live:
            refused = f"job {base} is over: there is nothing to cancel"
        elif not ref.get("array") and newest != ref.get("submit"):
            refused = f"job {base} was queued again meanwhile: look at it again"
        return Preview(
            verb="cancel",
            words=f"cancel job {base} of {user} on {self._choice.target}",
            scope=f"1 run of {ask.run.job}" if len(live) < 2 else f"{len(live)} parts of job {base}",
            native_calls=(f"ssh {self._choice.target}: scancel {base}",),
            notes=("Slurm sends SIGCONT and SIGTERM, and SIGKILL after KillWait",),
            refused=refused,
            plan={"way": "cancel", "id": base, "user": user, "skew": now.skew},
        )

    def _cancelled(self, plan: Mapping[str, Any]) -> LookUp:
        base = str(plan.get("id", ""))
        if not base:
            return Absent()
        now = situation(self._client.ask(["host", "level", call("job", base)]), self._client.where)
        if not now.parts:
            return CannotTell(f"slurmctld does not know job {base} any more: it is over, and by whom is not told")
        if any(one.is_open for one in now.parts):
            return Absent()
        return Found(base, f"job {base} is {now.parts[0].word}")
