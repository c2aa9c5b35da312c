"""Starts, holds and releases in the words of the kind that a replayed system lends. Pure."""

from __future__ import annotations

from connectors.contract import STARTED_LATER
from connectors.marking import Marking
from connectors.replay.parse import JobDef
from connectors.replay.words import Verb

MARKINGS = {
    "cron": Marking("cron", "commented out", "comment"),
    "airflow": Marking("Airflow", "paused", "note"),
    "pg_cron": Marking("pg_cron", "inactive", "comment"),
    "step_functions": Marking("EventBridge Scheduler", "disabled", "description"),
}
VERBS = {
    "cron": ("comment the line out", "enable the line", "remove the mark"),
    "airflow": ("pause the DAG", "resume the DAG", "take the mark away"),
    "pg_cron": ("hold", "release", "clear"),
    "step_functions": ("disable its schedules", "enable its schedules", "take the mark away"),
}
"""Lent kind -> its verbs for a hold, for its release, and for taking a mark away alone."""


def hold(lent: str, job: JobDef, mark: str, until: str) -> Verb:
    """A hold that leaves this mark, until that instant."""
    name, verb = job.native_id, VERBS[lent][0]
    scope = f"every start of {name} by the clock until it is released"
    if lent == "airflow":
        words = f"pause {name} until {until} at the latest, marked in the note of its newest run"
        calls = (f'PATCH /api/v2/dags/{name}/dagRuns/… {{"note": "… {mark}"}}', _patch(name, is_paused=True))
        return Verb(verb, words, f"all runs of {name}", calls)
    if lent == "pg_cron":
        words = f"make pg_cron job {name} inactive, under a comment that says who holds it until when"
        call = f"SELECT headway.hold('{name}', '<key>', …)"
        return Verb(verb, words, scope, (call, _alter(name, f"active := false, command := '/* {mark} */ ' || command")))
    if lent == "step_functions":
        words = f"disable the schedule of {name}, with a description that says who holds it until when"
        call = f"scheduler:UpdateSchedule Name={name} State=DISABLED Description=… {mark}"
        return Verb(verb, words, scope, (call,))
    words = f"comment this crontab line out, until {until} (crontab of {_user(job)} on {job.target}): {job.definition}"
    call = f"ssh {job.target} sh -s: as {_user(job)}, comment the line out, under # {mark}"
    notes = ("a run that has begun goes on",)
    return Verb(verb, words, f"1 line: {name}", (call,), notes=notes)


def release(lent: str, job: JobDef, hold: str, enables: bool) -> Verb:
    """The release of a hold, or the taking away of its mark where the job is to stay as it is."""
    name, verb, notes = job.native_id, VERBS[lent][1 if enables else 2], (STARTED_LATER,) if enables else ()
    stays = "; paused or not stays as it is"
    if lent == "airflow":
        taken = "our line from the note of its run"
        words = f"resume {name} and take {taken}" if enables else f"take {taken} ({name}){stays}"
        unpause = (_patch(name, is_paused=False),) if enables else ()
        calls = (*unpause, f'PATCH /api/v2/dags/{name}/dagRuns/… {{"note": "its note without our line"}}')
        return Verb(verb, words, f"all runs of {name}", calls, notes=notes)
    if lent == "pg_cron":
        active = f"make pg_cron job {name} active again and take our comment from its command"
        words = active if enables else f"take our comment from the command of pg_cron job {name}{stays}"
        row = _alter(name, f"{'active := true, ' * enables}command := the command without our comment")
        return Verb(
            verb, words, f"hold {hold} of {name}", (f"SELECT headway.{verb}('{name}', '{hold}')", row), (), notes
        )
    if lent == "step_functions":
        enabled = f"enable the schedule of {name} again and take our mark from its description"
        words = enabled if enables else f"take our mark from the description of the schedule of {name}{stays}"
        state = "ENABLED" if enables else "(as it is)"
        call = f"scheduler:UpdateSchedule Name={name} State={state} Description=(as it was)"
        return Verb(verb, words, f"hold {hold} of {name}", (call,), notes=notes)
    words = f"{'enable this line' if enables else 'remove the mark' + stays} (crontab of {_user(job)} on {job.target})"
    call = f"ssh {job.target} sh -s: as {_user(job)}, {verb}"
    return Verb(verb, f"{words}: {job.definition}", f"1 line: {name}", (call,), notes=notes)


def start(lent: str, job: JobDef, run: str, label: str) -> Verb:
    """The start of one run. `run`: its name; `label`: its period, for people."""
    name = job.native_id
    scope = f"one run of {name}, for {label}"
    if lent == "airflow":
        call = f'POST /api/v2/dags/{name}/dagRuns {{"dag_run_id": "headway__KEY", "logical_date": "{run}"}}'
        return Verb("trigger", f"trigger a run of {name} for {label}", f"all tasks of {name}, {scope}", (call,))
    if lent == "pg_cron":
        words = f"run the command of pg_cron job {name} once, at the next full minute, as {job.run_as}"
        return Verb("run once", words, scope, (f"SELECT headway.rerun('{name}', '<key>')",))
    if lent == "step_functions":
        call = f"states:StartExecution {name} name=<key> input=<that of its schedule>"
        return Verb("start", f"start {name} once now, with the input of its schedule", scope, (call,))
    words = f"run this crontab line once on {job.target} as {_user(job)}: {job.definition}"
    return Verb("run once", words, scope, (f"ssh {job.target} sh -s: as {_user(job)}, run the line once",))


def where(lent: str, job: JobDef) -> str:
    """Where the mark of a hold stands, for people."""
    name = job.native_id
    return {
        "airflow": f"note of the newest run of {name}",
        "pg_cron": f"comment in the command of {name} at {job.target}",
        "step_functions": f"description of the schedule of {name}",
    }.get(lent, f"crontab of {_user(job)} on {job.target}")


def by_hand(lent: str, job: JobDef) -> str:
    """What a person does to end a pause that is not ours."""
    return {
        "airflow": f"airflow dags unpause {job.native_id}",
        "pg_cron": f"SELECT cron.alter_job(…, active := true); -- {job.native_id}",
        "step_functions": f"enable the schedule of {job.native_id}",
    }.get(lent, "delete the # of the line, with any editor")


def _patch(dag: str, is_paused: bool) -> str:
    return f'PATCH /api/v2/dags/{dag} {{"is_paused": {"true" if is_paused else "false"}}}'


def _alter(job: str, what: str) -> str:
    return f"-- cron.alter_job('{job}', {what})"


def _user(job: JobDef) -> str:
    return job.run_as or "its user"
