"""Airflow's own backfills (3.x): made, paused, resumed and cancelled. Source: airflow.apache.org, REST API reference.

A backfill has no note. Its `dag_run_conf` goes to each of its runs and is shown with it, so our key stands there, under
the name "headway". Airflow has one backfill of a DAG at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from connectors import fields
from connectors.airflow import facts
from connectors.airflow.client import AirflowClient
from connectors.airflow.walk import page_at
from connectors.contract import (
    Absent,
    Ask,
    CannotTell,
    Found,
    LookUp,
    NativeBackfill,
    Preview,
    Receipt,
    RecordUnreadable,
)
from connectors.sending import after_once, refused

OURS = "headway"
"""The name under which a backfill's conf holds our key."""
REPROCESS = ("none", "failed", "completed")
"""Which runs that are there already are run again."""
MOST_AT_ONCE = 100
MOST_NAMED = 20
MOST_ASKED = 20
"""DAGs, of each of which Airflow is asked by itself: it has no list of all backfills over its public API."""
MOST_PAGES = 20
"""Of open runs that backfills made."""
TOO_MANY = "more runs of backfills are open than were looked through: those of further DAGs may be under way"
CHANGES = ("pause", "unpause", "cancel")
ASKED = {"pause": "pause", "resume": "unpause", "cancel": "cancel"}
TWO = (
    "Airflow 2 has no backfills over REST: airflow dags backfill, on its host; or leave out --native, and Headway"
    " starts each period by itself"
)


class Backfiller:
    """BACKFILL. One per Airflow."""

    def __init__(self, client: AirflowClient) -> None:
        self._client = client

    # before

    def preview(self, ask: Ask) -> Preview:
        """What would be sent, by Airflow's own dry run for a new one; or why it cannot be done now."""
        if self._client.major == 2:
            return facts.refused("backfill", TWO)
        asked = ask.parameters.get("do", "create")
        if asked == "create":
            return self._new(ask)
        if asked == "list":
            return self._listed(ask)
        if asked not in ASKED:
            return facts.refused("backfill", f"a backfill is made, paused, resumed or cancelled, not {str(asked)[:40]}")
        return self._change(ask, ASKED[asked])

    def _listed(self, ask: Ask) -> Preview:
        """Those that are not over, of the DAG, or of all DAGs that have an open run of one."""
        dags, whole = [ask.run.job], True
        if ask.parameters.get("of") == "system":
            dags, whole = self._backfilled()
        found = tuple(one for dag in dags[:MOST_ASKED] for one in self._under_way(dag))
        more = len(dags) - MOST_ASKED
        notes = (f"of {more} further DAGs with open runs of one nobody asked",) if more > 0 else ()
        return Preview(
            verb="list",
            words=f"{facts.count(found, 'backfill')} of Airflow's own under way",
            scope=facts.count(dags, "DAG"),
            notes=notes if whole else (*notes, TOO_MANY),
            refused="a list: there is nothing to send",
            backfills=found,
        )

    def _backfilled(self) -> tuple[list[str], bool]:
        """The DAGs with an open run of one; False where there may be more: each run that is still to come is listed."""
        dags: set[str] = set()
        offset = 0
        for _ in range(MOST_PAGES):
            rows, following = page_at(self._client.backfilled(offset), "dag_runs", offset)
            dags |= {name for row in rows if isinstance(row, dict) and isinstance(name := row.get("dag_id"), str)}
            if following is None:
                return sorted(dags), True
            offset = following
        return sorted(dags), False

    def _rows(self, dag: str) -> list[Any]:
        """Of a DAG the newest, which are enough: it has one at a time. Raises AnswerUnfit."""
        return page_at(self._client.backfills(dag), "backfills", 0)[0]

    def _under_way(self, dag: str) -> Iterator[NativeBackfill]:
        for told in self._rows(dag):
            with suppress(RecordUnreadable):
                row = fields.table(told)
                first, last, made = (fields.instant(row, name) for name in ("from_date", "to_date", "created_at"))
                if row.get("completed_at") or row.get("dag_id") != dag or first is None or last is None:
                    continue
                number, at_once = fields.number(row, "id", -1), fields.number(row, "max_active_runs", 0)
                when = facts.told(made) if made else ""
                paused = row.get("is_paused") is True
                yield NativeBackfill(number, dag, facts.told(first), facts.told(last), paused, at_once, when)

    def _new(self, ask: Ask) -> Preview:
        first, last = (facts.instant(ask.parameters.get(name)) for name in ("from", "to"))
        again, at_once = ask.parameters.get("reprocess", "none"), ask.parameters.get("at_once", 1)
        if first is None or last is None or first > last:
            return facts.refused("backfill", "from and to are instants with a zone, from the earlier one to the later")
        if again not in REPROCESS or not isinstance(at_once, int) or not 0 < at_once <= MOST_AT_ONCE:
            return facts.refused("backfill", f"reprocess is one of {', '.join(REPROCESS)}, at_once 1 to {MOST_AT_ONCE}")
        plan: dict[str, Any] = {"how": "backfill", "do": "create", "dag": ask.run.job, "from": facts.told(first)}
        plan |= {"to": facts.told(last), "reprocess": again, "at_once": at_once}
        reply = self._client.preview_backfill(body_of(plan))
        if reply.status != 200:
            return facts.refused("backfill", f"Airflow refuses: {reply.said}")
        periods = [str(row.get("logical_date")) for row in page_at(reply, "backfills", 0)[0] if isinstance(row, dict)]
        if not periods:
            return facts.refused("backfill", "nothing to do: Airflow would make no run in that time")
        return self._shown(plan, periods, first, last)

    def _shown(self, plan: Mapping[str, Any], periods: list[str], first: datetime, last: datetime) -> Preview:
        dag, more = plan["dag"], len(periods) - MOST_NAMED
        span = f"{first:%Y-%m-%d %H:%MZ} to {last:%Y-%m-%d %H:%MZ}"
        return Preview(
            verb="backfill",
            words=f"let Airflow backfill {dag}, {facts.count(periods, 'run')} from {span}",
            scope=f"{facts.count(periods, 'run')} of {dag}, {plan['at_once']} at once",
            affected=(*periods[:MOST_NAMED], *([f"and {more} more"] if more > 0 else [])),
            native_calls=self._client.calls("POST", "/backfills", {**body_of(plan), "dag_run_conf": {OURS: "KEY"}}),
            notes=(
                f"the conf of each of its runs holds our key, as {OURS}",
                *((active,) if (active := facts.active(self._client, dag)) else ()),
                *facts.paused_note(self._client, dag),
            ),
            plan=plan,
        )

    def _change(self, ask: Ask, change: str) -> Preview:
        number, row = ask.parameters.get("backfill"), None
        if isinstance(number, int):
            row = self._row(number)
        if row is None or row.get("dag_id") != ask.run.job:
            return facts.refused(change, f"Airflow has no backfill {str(number)[:20]} of {ask.run.job}")
        if row.get("completed_at"):
            return facts.refused(change, f"backfill {number} of {ask.run.job} is over since {row['completed_at']}")
        if change != "cancel" and row.get("is_paused") is (change == "pause"):
            return facts.refused(change, f"backfill {number} of {ask.run.job} is {stands(row)} already")
        ends = "its queued runs are failed, what runs goes on" if change == "cancel" else "what runs goes on"
        return Preview(
            verb=f"{change} the backfill",
            words=f"{change} backfill {number} of {ask.run.job}, which is {stands(row)}",
            scope=f"backfill {number}, {row.get('from_date')} to {row.get('to_date')}",
            native_calls=self._client.calls("PUT", f"/backfills/{number}/{change}", {}),
            notes=(ends,),
            plan={"how": "backfill", "do": change, "dag": ask.run.job, "backfill": number},
        )

    # sending

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says. The same key again finds what it made."""
        if plan["do"] in CHANGES:
            return self._send_change(plan)
        there = self.look(plan, key)
        if isinstance(there, Found):
            return Receipt(there.native_ref, "was made under this key before")
        reply = self._client.backfill({**body_of(plan), "dag_run_conf": {OURS: key}})
        refused(reply)
        row = after_once(reply)
        return Receipt(str(row.get("id")), f"backfill {row.get('id')} of {plan['dag']}")

    def _send_change(self, plan: Mapping[str, Any]) -> Receipt:
        reply = self._client.change_backfill(plan["backfill"], plan["do"])
        refused(reply)
        return Receipt(str(plan["backfill"]), f"backfill {plan['backfill']} is {stands(after_once(reply))}")

    def look(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """A new one by our key; a change by how the backfill stands, whoever changed it."""
        if plan["do"] not in CHANGES:
            return self._made(str(plan["dag"]), key)
        row = self._row(int(plan["backfill"]))
        if row is None:
            return CannotTell(f"Airflow has no backfill {plan['backfill']} any more")
        over = bool(row.get("completed_at"))
        wanted = {"pause": row.get("is_paused") is True, "unpause": row.get("is_paused") is False, "cancel": over}
        told = f"backfill {plan['backfill']} is {stands(row)}"
        return Found(str(plan["backfill"]), told) if wanted[plan["do"]] else Absent()

    def _made(self, dag: str, key: str) -> LookUp:
        for row in self._rows(dag):
            conf = row.get("dag_run_conf") if isinstance(row, dict) else None
            if isinstance(conf, dict) and conf.get(OURS) == key:
                now = "it is over" if stands(row) == "over" else "headway backfill --list has it while it is under way"
                return Found(str(row.get("id")), f"backfill {row.get('id')} was made; {now}")
        return Absent()

    def _row(self, number: int) -> fields.Row | None:
        reply = self._client.one_backfill(number)
        return reply.table() if reply.status == 200 else None

    def tidy(self, plan: Mapping[str, Any], key: str) -> None:
        """Nothing stays of a backfill that was never made."""


def body_of(plan: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a backfill, less its conf."""
    return {
        "dag_id": plan["dag"],
        "from_date": plan["from"],
        "to_date": plan["to"],
        "reprocess_behavior": plan["reprocess"],
        "max_active_runs": plan["at_once"],
    }


def stands(row: fields.Row) -> str:
    """ "over", "paused" or "going on"."""
    return "over" if row.get("completed_at") else "paused" if row.get("is_paused") is True else "going on"
