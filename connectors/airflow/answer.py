"""Answering a task that waits for a person: MARK_OK approves, SKIP rejects. Airflow 3.1 and later, measured on 3.3.2.

An answer carries no key of ours: Airflow checks its input against the question's own parameters. It takes one answer
only (409 for a second), so an answer that is there and is the one we wanted is found, whoever gave it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from connectors import fields
from connectors.airflow import facts, parse_tasks
from connectors.airflow.client import AirflowClient
from connectors.airflow.parse_tasks import Instance, task_ref
from connectors.airflow.paths import question_path
from connectors.airflow.questions import options_of, words_of
from connectors.airflow.references import Reference
from connectors.contract import Absent, CannotTell, Found, LookUp, NotSupported, Preview, Receipt, Verb
from connectors.sending import after_once, refused

FRESH_SECONDS = 15.0
ANSWERS = {Verb.MARK_OK: ("approve", "ok"), Verb.SKIP: ("reject",)}
"""What is looked for among the options, in small letters."""


class Answerer:
    """Answers questions of tasks. One per Airflow."""

    def __init__(self, client: AirflowClient) -> None:
        self._client = client

    def preview(self, verb: Verb, at: Reference, one: Instance) -> Preview:
        """What the answer would be, or why it is a person's to give in Airflow."""
        do = "approve" if verb is Verb.MARK_OK else "reject"
        reply = self._client.question(at.dag, at.run, at.task, one.map_index)
        asked = reply.table() if reply.status == 200 else {}
        if not asked:
            return facts.refused(do, f"{at.task} waits, and Airflow tells no question of it ({reply.said})")
        if asked.get("response_received") is True:
            return facts.refused(do, f"it was answered already: {_answered(asked)}")
        if _is_fresh(asked, facts.now_at(reply)):
            return facts.refused(
                do,
                f"{at.task} asked a moment ago: Airflow fails what is answered before its scheduler "
                f"has seen that it waits. Look again in {FRESH_SECONDS:.0f} s",
            )
        wanted = [option for option in options_of(asked) if option.lower() in ANSWERS[verb]]
        if not wanted:
            return facts.refused(do, f"{at.task} {words_of(asked)}: none of that is to {do}, answer it in Airflow")
        values, open_ones = _values(asked)
        if open_ones:
            return facts.refused(do, f"{at.task} asks for values too ({', '.join(open_ones)}): answer it in Airflow")
        body = {"chosen_options": wanted[:1], "params_input": values}
        place = {"dag": at.dag, "run": at.run, "task": at.task, "map": one.map_index, "try": at.try_number}
        return Preview(
            verb=f"answer {wanted[0]}",
            words=f"answer {wanted[0]} to {parse_tasks.name_of(one)} of {at.dag}, which {words_of(asked)}",
            scope=f"1 question of {at.dag} {at.run}",
            affected=(parse_tasks.name_of(one),),
            native_calls=self._client.calls("PATCH", question_path(at.dag, at.run, at.task, one.map_index), body),
            notes=("Airflow notes Headway's account as who answered; an answer cannot be taken back",),
            plan={"how": "answer", **place, "body": body},
        )

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says; the same answer again is taken for ours."""
        place = _place(plan)
        reply = self._client.answer(*place, plan["body"])
        if reply.status == 409:
            told = self.look(plan, key)
            if isinstance(told, Found):
                return Receipt(told.native_ref, told.words)
            raise NotSupported(f"Airflow: {place[2]} was answered otherwise by now; nothing was sent")
        refused(reply)
        after_once(reply)
        return Receipt(task_ref(place[:3], plan["try"], place[3]), f"answered {plan['body']['chosen_options'][0]}")

    def look(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """By the answer that is there; none is proof that ours did not arrive."""
        place = _place(plan)
        reply = self._client.question(*place)
        if reply.status != 200:
            return CannotTell(f"Airflow no longer tells the question of {place[2]} ({reply.said})")
        asked = reply.table()
        if asked.get("response_received") is not True:
            return Absent()
        if asked.get("chosen_options") == plan["body"]["chosen_options"]:
            return Found(task_ref(place[:3], plan["try"], place[3]), f"answered {_answered(asked)}")
        return CannotTell(f"{place[2]} was answered otherwise: {_answered(asked)}")

    def tidy(self, plan: Mapping[str, Any], key: str) -> None:
        """Nothing stays of an answer that never arrived."""


def _place(plan: Mapping[str, Any]) -> tuple[str, str, str, int]:
    return str(plan["dag"]), str(plan["run"]), str(plan["task"]), int(plan["map"])


def _is_fresh(asked: Mapping[str, Any], now: datetime) -> bool:
    """Seen with 3.3.2: the executor's word that the process ended comes after the answer, and is taken for a crash."""
    created = facts.instant(asked.get("created_at"))
    return created is not None and timedelta(0) <= now - created < timedelta(seconds=FRESH_SECONDS)


def _answered(asked: Mapping[str, Any]) -> str:
    user = asked.get("responded_by_user")
    name = user.get("name") if isinstance(user, dict) else None
    chosen = [one for one in fields.rows(asked.get("chosen_options")) if isinstance(one, str)]
    return fields.clean(f"{', '.join(chosen) or '?'} by {name or 'somebody'}")


def _values(asked: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The values that the question has for its parameters, and the names of those that have none."""
    params = asked.get("params")
    given = {
        name: one.get("value") if isinstance(one, dict) else one
        for name, one in (params.items() if isinstance(params, dict) else ())
    }
    return given, sorted(fields.clean(name) for name, value in given.items() if value is None)
