"""Actions by the calls of the mapping. A run that we requested is found again by our key, which it shows; a rerun that
carries none, by the next attempt of its run; holds are in `hold`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.http.client import HttpApiClient
from connectors.http.hold import HttpHolder
from connectors.http.options import HttpActionListCall, HttpVerbCall, HttpVerbs
from connectors.http.parts import RunReader, attempt_of, parts_of_attempt
from connectors.http.runs import MAX_SINGLE_READS
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, ActionUnknown, LookUpResult, Preview, Receipt
from connectors.sdk.errors import ActionRefused, InvalidAnswer, RecordUnreadable
from connectors.sdk.field_mapping import RESULTS, has_field, text_at, texts_at, value_at
from connectors.sdk.fields import EPOCH, digest
from connectors.sdk.mapped_actions import KEY_PLACEHOLDER, MARKS, MappedActions
from connectors.sdk.records import RunRecord
from connectors.sdk.settle import sent_at
from connectors.sdk.states import Verb

SEARCH_WINDOW = timedelta(minutes=5)
"""How long before an action was sent runs are searched for it: the clocks may differ by as much."""
MAX_SEARCHED_PAGES = 50


UNNAMED_RERUN = "no run shows the key of a rerun: it is found by the run's next attempt and the account that started it"
NUMBERED_RERUN = "no run shows the key of a rerun: where its reply is lost, the outcome stays unknown"
GROUPED_RERUN = "no run shows the key of a rerun: it is found as the one new run of the same group"
LISTED_RERUN = "where its reply is lost, it is looked up by its key in verbs.actions"
KEYED_RERUN = "it is found as the next attempt if the run shows its key; otherwise a lost reply leaves it unknown"


class HttpActions(MappedActions[HttpVerbCall]):
    what, setting, id_place = "call", "path", "id"

    def __init__(self, client: HttpApiClient, reader: RunReader, holder: HttpHolder | None) -> None:
        options = client.options
        super().__init__(options.verbs, options.runs, options.states, holder, client.source.lacks)
        self._verbs: HttpVerbs = options.verbs
        self._client, self._runs, self._reader = client, options.runs, reader

    def preview_call(self, spec: ActionSpec) -> Preview:
        preview, call = super().preview_call(spec), self._verbs.calls[spec.verb]
        run_id, job, attempt_key = spec.run.native_ref, spec.run.job, spec.run.attempt_key
        if spec.verb in MARKS and self._has_attempts:
            plan: dict[str, Any] = {**preview.plan, "marked_attempt": attempt_key}
            self._check_mark(plan)
            return replace(preview, plan=plan)
        if spec.verb is not Verb.RERUN:
            return preview
        if not self._is_counted(spec.verb, call):
            return replace(preview, plan={**preview.plan, **self._seen(run_id, job), **self._linked_runs(run_id, job)})
        latest = self._latest_attempt(run_id, job)
        if latest.attempt_key != attempt_key:
            native = latest.native_state
            raise ActionRefused(f"attempt {attempt_of(latest.attempt_key)} of the run is there, it is {native}")
        if latest.state.is_open or not latest.state.is_red:
            native = latest.native_state
            raise ActionRefused(f"the run is {native}: only failed parts of an ended run are tried again")
        numbered = KEYED_RERUN if self._shows_key(call) else NUMBERED_RERUN
        note = LISTED_RERUN if self._verbs.actions else numbered if self._runs.attempt else UNNAMED_RERUN
        plan = {**preview.plan, "attempt": attempt_key, "seen": digest(str(latest))}
        if self._runs.first:
            plan |= self._group_now(latest.again_of or attempt_key, attempt_key)
            note = GROUPED_RERUN
        return replace(preview, notes=(note,), plan=plan)

    def act_call(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the base says. A rerun that is counted by attempts is not sent where the run changed since."""
        if "attempt" not in plan:
            self._check_mark(plan)
            if self._client.has_queued(key):
                return Receipt(key, "was sent before, and waits in the queue of its source")
            self._check_group(plan)
            return super().act_call(plan, key)
        latest, call = self._latest_attempt(str(plan["id"]), str(plan["job"])), self._verbs.rerun
        if call is None or digest(str(latest)) != plan.get("seen"):
            raise ActionRefused(f"the run changed since the preview, it is {latest.native_state}")
        self._check_group(plan)
        if "group" in plan:
            return Receipt(str(plan["group"]), self.send(call, {**plan, "key": key}))
        following = attempt_of(latest.attempt_key) + 1
        return Receipt(f"{latest.native_ref}.{following}", self.send(call, {**plan, "key": key}))

    def find_call(self, plan: Mapping[str, Any], key: str) -> LookUpResult:
        self._check_mark(plan)
        if "attempt" not in plan:
            result, run_id = super().find_call(plan, key), str(plan["id"])
            if (
                isinstance(result, ActionAbsent)
                and "seen" in plan
                and self._seen(run_id, str(plan["job"])) != {"seen": plan["seen"]}
            ):
                return ActionUnknown(
                    f"run {run_id} changed since the preview and shows no key: "
                    "the source may have repeated it under the same id"
                )
            return result
        if "group" in plan:
            new = self._new_in_group(plan)
            if len(new) > 1:
                return ActionUnknown(f"the run was repeated by several: {', '.join(sorted(new))}")
            return ActionFound(min(new), f"run {min(new)} repeats it") if new else ActionAbsent()
        return self._find_attempt(plan, key)

    def _find_attempt(self, plan: Mapping[str, Any], key: str) -> LookUpResult:
        run_id, before = str(plan["id"]), attempt_of(str(plan["attempt"]))
        if self._verbs.actions is not None:
            run, why = self._made_by(key, self._verbs.actions)
            absent = ActionUnknown(why) if why else ActionAbsent()
            return absent if run is None else ActionFound(f"{run_id}.{before + 1}", f"run {run} was repeated by it")
        if (
            self._runs.attempt
            and self._runs.key
            and key in texts_at(self._client.run(run_id, str(plan["job"])), self._runs.key)
        ):
            return ActionFound(f"{run_id}.{before + 1}", f"run {run_id} shows its key")
        latest = self._latest_attempt(run_id, str(plan["job"]))
        if attempt_of(latest.attempt_key) <= before:
            if digest(str(latest)) == plan.get("seen"):
                return ActionAbsent()
            return ActionUnknown(f"run {run_id} is {latest.native_state}: it changed, and lists no new attempt")
        if self._runs.attempt:
            return ActionUnknown(
                f"attempt {before + 1} is there and shows no key: perhaps it was not started by Headway"
            )
        try:
            parts = self._reader.parts(run_id)
        except RecordUnreadable as error:
            return ActionUnknown(f"run {run_id} cannot be read: {error}")
        accounts = {part.account for part in parts_of_attempt(parts, before + 1)}
        own = self._client.account_name()
        if own and accounts == {own}:
            return ActionFound(f"{run_id}.{before + 1}", f"attempt {before + 1} was started by {own}")
        by = ", ".join(sorted(filter(None, accounts))) or "an unnamed account"
        return ActionUnknown(f"attempt {before + 1} is there, started by {by}, perhaps not by Headway")

    def _linked_runs(self, run_id: str, job: str) -> dict[str, Any]:
        """The group of a run and its known runs, for the plan of its rerun; empty where no run names
        its first one."""
        row = self.run_row(run_id, job) if self._runs.first and run_id and self._verbs.actions is None else None
        if row is None:
            return {}
        return self._group_now(text_at(row, self._runs.first) or run_id, run_id)

    def _group_now(self, group: str, run_id: str) -> dict[str, Any]:
        return {"group": group, "known": sorted(self._recent_in_group(group, datetime.now(UTC)) | {run_id})}

    def _check_group(self, plan: Mapping[str, Any]) -> None:
        """Raises ActionRefused where a run of a group was repeated since its preview."""
        if "group" in plan and (new := self._new_in_group(plan)):
            raise ActionRefused(f"the run was repeated since the preview, by run {min(new)}")

    def _new_in_group(self, plan: Mapping[str, Any]) -> set[str]:
        """The runs of the group of a run that its preview did not know."""
        group = self._recent_in_group(str(plan["group"]), sent_at(plan) or datetime.now(UTC))
        return group - {str(run_id) for run_id in plan["known"]}

    def _recent_in_group(self, group: str, at: datetime) -> set[str]:
        """The ids of the runs of a group that changed shortly before `at` or later. Raises ActionRefused."""
        rows = self._recent_rows(at - SEARCH_WINDOW)
        return {text_at(row, self._runs.id) for row in rows if text_at(row, self._runs.first) == group}

    def _seen(self, run_id: str, job: str) -> dict[str, str]:
        """A digest of a run as it is now, for the plan of its rerun; empty where no single run can be read."""
        latest = self._attempt(run_id, job) if self._runs.one and run_id else None
        return {"seen": digest(str(latest))} if latest is not None else {}

    @property
    def _has_attempts(self) -> bool:
        """Whether a run has several attempts under its id, and the latest one can be read."""
        return bool(self._runs.one and (self._runs.attempt or self._client.options.parts))

    def _check_mark(self, plan: Mapping[str, Any]) -> None:
        """Raises ActionRefused where the attempt of a mark is not the ended latest one any more."""
        attempt_key = str(plan.get("marked_attempt", ""))
        if not attempt_key:
            return
        run_id = str(plan["id"])
        latest = self._latest_attempt(run_id, str(plan["job"]))
        if latest.attempt_key != attempt_key:
            raise ActionRefused(f"another attempt of the run is there: {latest.attempt_key} is {latest.native_state}")
        if latest.state.is_open:
            raise ActionRefused(f"run {run_id} is {latest.native_state}: only an ended run is marked")

    def _is_counted(self, verb: Verb, call: HttpVerbCall) -> bool:
        """Whether a rerun is found by the attempts of its run."""
        return verb is Verb.RERUN and self._client.options.counts_attempts(call)

    def _shows_key(self, call: HttpVerbCall) -> bool:
        return "key" in call.places and bool(self._runs.key)

    def _latest_attempt(self, run_id: str, job: str) -> RunRecord:
        """Raises ActionRefused where the run is gone."""
        if (latest := self._attempt(run_id, job)) is None:
            raise ActionRefused(f"run {run_id} is no longer there")
        return latest

    def _attempt(self, run_id: str, job: str) -> RunRecord | None:
        row = self._client.run(run_id, job)
        if row is None:
            return None
        try:
            records = self._reader.records(row, None, job)
        except RecordUnreadable as error:
            raise InvalidAnswer(f"run {run_id} cannot be read: {error}") from None
        return records[-1] if records else None

    def shown(self, call: HttpVerbCall, verb: Verb, values: Mapping[str, str]) -> tuple[str, str, tuple[str, ...]]:
        copied = {name: f"<{name.removeprefix('run.')} of the run>" for name in call.copied}
        given = {**self._client.shown_values(), **values, **copied, "key": KEY_PLACEHOLDER}
        path = self._client.path(call.path, {name: str(value) or f"<{name}>" for name, value in given.items()}, str)
        return call.title or f"{call.method} {call.path}", f"{call.method} {path}", (self._client.shown(call, given),)

    def check(self, call: HttpVerbCall, verb: Verb, values: Mapping[str, str]) -> None:
        """Raises ActionRefused where the requested run could not be looked up later, or has no run to be made from."""
        if call.copied and not values["id"]:
            names = ", ".join(sorted(call.copied))
            raise ActionRefused(f"{values['job']} has no run at its source whose {names} could be sent again")
        if missing := self._client.missing_secret(call):
            raise ActionRefused(missing)
        is_listed = self._verbs.actions is not None or self._is_counted(verb, call)
        if verb not in RESULTS and "since" not in self._runs.places and not is_listed:
            deque(self._recent_rows(datetime.now(UTC) - SEARCH_WINDOW), maxlen=0)

    def send(self, call: HttpVerbCall, values: Mapping[str, Any]) -> str:
        row = self._client.run(str(values["id"]), str(values["job"])) if call.copied else {}
        if row is None:
            raise ActionRefused(f"run {values['id']} is no longer there")
        copied = {name: value_at(row, name.removeprefix("run.")) for name in call.copied}
        self._client.write(call, {**values, **copied})
        return f"accepted: {call.title}" if call.title else f"accepted by {call.method} {call.path}"

    def run_with_key(self, key: str, plan: Mapping[str, Any]) -> tuple[str | None, str]:
        if self._verbs.actions is not None:
            return self._made_by(key, self._verbs.actions)
        since = (sent_at(plan) or datetime.now(UTC)) - SEARCH_WINDOW
        is_queued = self._client.has_queued(key)  # before the runs: a run leaves the queue for their list
        unseen = list[str]()
        for row in self._recent_rows(since):
            run_id = text_at(row, self._runs.id)
            if key in texts_at(row, self._runs.key):
                return run_id, ""
            if not has_field(row, self._runs.key) and text_at(row, self._runs.job) in ("", plan["job"]):
                unseen.append(run_id)
        for run_id in unseen[:MAX_SINGLE_READS] if self._runs.one else ():
            row = self._client.run(run_id, str(plan["job"]))
            if key in texts_at(row, self._runs.key):
                return run_id, ""
            if has_field(row, self._runs.key):
                unseen.remove(run_id)
        if is_queued:
            return None, "it waits in the queue of its source"
        if unseen and "group" in plan:  # a rerun names its first run, whether it shows a key or not
            new = self._new_in_group(plan)
            unseen = [run_id for run_id in unseen if run_id in new]
            if len(unseen) == 1:
                return unseen[0], ""
        return None, f"run {unseen[0]} has no field {self._runs.key} (runs.key), and may be it" if unseen else ""

    def _made_by(self, key: str, call: HttpActionListCall) -> tuple[str | None, str]:
        """As `run_with_key`, by the list of actions."""
        rows, _, cut = self._client.all_rows(call, call.run, {"key": key})
        run = next(filter(None, (text_at(row, call.run) for row in rows)), None)
        return run, "" if run else "the API accepted it; it has no run yet" if rows else cut

    def run_row(self, run_id: str, job: str) -> Any | None:
        if self._runs.one:
            return self._client.run(run_id, job)
        return next((row for row in self._recent_rows(EPOCH) if text_at(row, self._runs.id) == run_id), None)

    def _recent_rows(self, since: datetime) -> Iterator[Any]:
        """The rows of runs that changed since. Raises ActionRefused where the list may leave out rows: then a run that
        is not among them may exist."""
        page, cut = None, f"more than {MAX_SEARCHED_PAGES} pages of runs are listed"
        for _ in range(MAX_SEARCHED_PAGES):
            result = self._client.runs_page(page, since)
            yield from result.rows
            page = result.following
            if page is None and not result.cut:
                return
            if result.cut:
                cut = result.cut
                break
        fix = "" if "since" in self._runs.places else ". Fix: add {since} to the query of runs"
        raise ActionRefused(f"the outcome of a lost reply cannot be checked: {cut}{fix}")
