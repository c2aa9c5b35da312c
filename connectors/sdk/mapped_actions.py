"""RERUN, START, CANCEL and marks of the kinds that only the config defines (`http`, `sql`).

The config names a call for each verb. A call carries our key, and a run shows it: so an action is found again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, ClassVar, Generic, Self, TypeVar

from pydantic import ValidationInfo, model_validator

from connectors.sdk.contract import (
    ActionAbsent,
    ActionFound,
    ActionSpec,
    ActionUnknown,
    LookUpResult,
    NativeHold,
    Preview,
    Receipt,
)
from connectors.sdk.errors import ActionRefused, NotSupported
from connectors.sdk.field_mapping import (
    PROFILE_PLACES,
    PROFILE_SECRETS,
    RESULTS,
    MappedJobFields,
    MappedRunFields,
    has_result,
)
from connectors.sdk.mapped_hold import MappedHolder
from connectors.sdk.option_errors import StrictOptions
from connectors.sdk.settle import unless_in_flight
from connectors.sdk.states import STARTING, Capability, RunState, Verb

NO_HOLD = "a hold is marked at its source, and this kind has no place for the mark: pause the job in its own scheduler"
VERB_NAMES = {
    verb: f"verbs.{verb.needs.value}" for verb in (Verb.RERUN, Verb.START, Verb.CANCEL, Verb.MARK_OK, Verb.SKIP)
}
EXPLAINED_CAPABILITIES = frozenset({Capability.RERUN, Capability.START, Capability.CANCEL, Capability.LOG})
"""Those that a profile has, or says why not."""
MAPPED_CAPABILITIES = EXPLAINED_CAPABILITIES | {Capability.MARK, Capability.NATIVE_DEPENDENCIES}
MISSING_CAPABILITIES = {
    Capability.MARK: "Headway records the result as asserted",
    Capability.HOLD: NO_HOLD,
    Capability.TASKS: "a run is read as a whole",
    Capability.PERIODS: "the source decides which period a rerun works on",
    Capability.NATIVE_DEPENDENCIES: "declare dependencies in the config",
}
UNMAPPED_CAPABILITIES = {name: why for name, why in MISSING_CAPABILITIES.items() if name not in MAPPED_CAPABILITIES}
KEY_PLACEHOLDER = "<key>"
MARKS = (Verb.MARK_OK, Verb.SKIP)
SKIP_NOTE = "its source shows a success, as after mark OK"


def profile_places(info: ValidationInfo) -> frozenset[str]:
    return frozenset((info.context or {}).get(PROFILE_PLACES, ()))


class MappedCall(StrictOptions):
    """A call of the config with names in braces."""

    known_places: ClassVar[frozenset[str]]
    setting: ClassVar[str] = "path"
    """The text that says what is called."""

    @property
    def places(self) -> Collection[str]:
        """The names in braces."""
        raise NotImplementedError

    @property
    def secret_places(self) -> Collection[str]:
        """The names in braces that may be secrets."""
        return ()

    @model_validator(mode="after")
    def only_known_places(self, info: ValidationInfo) -> Self:
        known = self.known_places | profile_places(info)
        unknown = sorted({*self.places} - known)
        if unknown:
            near = [f"did you mean {{{name}}}? " for name in get_close_matches(unknown[0], known, n=1)]
            names = ", ".join(f"{{{name}}}" for name in sorted(known)) or "none"
            key = self._key_with(f"{{{unknown[0]}}}")
            is_option = unknown[0].startswith("option.") and PROFILE_PLACES in (info.context or {})
            fix = f". Fix: declare [options.{unknown[0].removeprefix('option.')}]" if is_option else ""
            raise ValueError(f"{key}{{{unknown[0]}}} means nothing here; {''.join(near)}there are {names}{fix}")
        secrets = {*self.places} & set((info.context or {}).get(PROFILE_SECRETS, ()))
        if misplaced := sorted(secrets - set(self.secret_places)):
            raise ValueError(
                f"{{{misplaced[0]}}} is a secret, which only query and body of a call of verbs send. "
                "Fix: remove it here, or make its option another type"
            )
        return self

    def _key_with(self, place: str) -> str:
        """The key of the text that has a place, with a colon; "" where it is in a list or a table below."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        tables = {name: value for name, value in values.items() if isinstance(value, dict)}
        values |= {f"{name}.{key}": value for name, table in tables.items() for key, value in table.items()}
        return next((f"{key}: " for key, value in values.items() if isinstance(value, str) and place in value), "")

    def require_place(self, key: str, *names: str) -> None:
        """Raises ValueError where the call has no place of these names. `key`: that of the call, for the message."""
        if not {*names} & {*self.places}:
            missing = " and no ".join(f"{{{name}}}" for name in names)
            same = "job" if names == ("job",) else "run"
            where = "in the statement" if self.setting == "query" else "in path, query, body or headers"
            raise ValueError(
                f'{key}.{self.setting}: "{getattr(self, self.setting)}" names no {missing}, so the call is the same '
                f"for every {same}. Fix: send {{{names[0]}}} {where}"
            )


Call = TypeVar("Call", bound=MappedCall)


class MappedVerbs(StrictOptions, Generic[Call]):
    """The calls of the verbs. A verb without a call is refused."""

    rerun: Call | None = None
    """Runs a run again. It must carry {key}, and the new run must show it (runs.key)."""
    start: Call | None = None
    """Starts a job once; {key} as in rerun."""
    cancel: Call | None = None
    """Cancels a running run."""
    mark: Call | None = None
    """Sets the result of an ended run to success; `mark OK` and `skip` both send it."""

    shows_key: ClassVar[str] = "name in runs.key where a run shows it"
    """The fix for a call whose key no answer shows."""

    @property
    def named(self) -> dict[str, Call]:
        """The calls that are named, by their keys in `verbs`."""
        calls = {"rerun": self.rerun, "start": self.start, "cancel": self.cancel, "mark": self.mark}
        return {key: call for key, call in calls.items() if call is not None}

    @property
    def calls(self) -> dict[Verb, Call]:
        """The same by their verbs, of which two may have one call."""
        named = self.named
        return {verb: named[verb.needs.value] for verb in VERB_NAMES if verb.needs.value in named}

    def capabilities(self, log: object, hold: object, jobs: MappedJobFields) -> frozenset[Capability]:
        """The capabilities of these calls, of those of a log and a hold, which may be None, and of the fields of a
        job."""
        parts = {Capability.LOG: log, Capability.HOLD: hold, Capability.NATIVE_DEPENDENCIES: jobs.upstreams or None}
        given = (capability for capability, part in parts.items() if part is not None)
        return frozenset({*(verb.needs for verb in self.calls), *given})

    def require_key(self, runs_key: str) -> None:
        """Raises ValueError for a call whose lost answer could not be looked up."""
        for verb, call in self.calls.items():
            if verb in STARTING and ("key" not in call.places or not runs_key):
                missing = [*([] if "key" in call.places else ["send {key}"]), *([] if runs_key else [self.shows_key])]
                raise ValueError(
                    f"verbs.{verb.value}: the outcome of a lost reply could not be checked. "
                    f"Fix: {', and '.join(missing)}"
                )

    def warnings(
        self, runs_key: str, states: Mapping[str, RunState], has_key: bool = True
    ) -> list[tuple[tuple[str, ...], str]]:
        """Probable mistakes that are allowed: the key, and the text with its fix. `has_key`: a rerun is looked up by
        its key."""
        warnings: list[tuple[tuple[str, ...], str]] = []
        if self.cancel is not None and RunState.CANCELLED not in states.values():
            text = 'no state means "cancelled", so no cancel is ever verified. Fix: name it in states'
            warnings.append((("verbs", "cancel"), text))
        if self.rerun is not None and runs_key and has_key and "key" not in self.rerun.places:
            text = f'it sends no {{key}}, so no run shows it at runs.key = "{runs_key}". Fix: send {{key}}'
            or_else = "" if self.start is not None else ", or remove runs.key"  # a start needs it
            warnings.append((("verbs", "rerun"), f"{text}{or_else}"))
        return warnings

    def require_places(self, run_place: str) -> None:
        """Raises ValueError for a call that names neither its run nor its job. `run_place`: name of a run's id."""
        needed = {Verb.RERUN: (run_place, "job"), Verb.START: ("job",)}
        for verb, call in self.calls.items():
            call.require_place(f"verbs.{verb.needs.value}", *needed.get(verb, (run_place,)))


def missing_call(verb: Verb, what: str, setting: str) -> str:
    return f"the config names no {what} for it: add [systems.NAME.{VERB_NAMES[verb]}] with its {setting}"


def missing_log(setting: str) -> str:
    return f"the config names no log of a run: add [systems.NAME.log] with its {setting}"


class MappedActions(Generic[Call]):
    """The action calls of the contract. A kind shows and sends its calls, and finds runs."""

    what: ClassVar[str]
    """ "call"."""
    setting: ClassVar[str]
    """Of a call: "path"."""
    id_place: ClassVar[str]
    """Name in braces of a run's id."""

    def __init__(
        self,
        verbs: MappedVerbs[Call],
        fields: MappedRunFields,
        states: Mapping[str, RunState],
        holder: MappedHolder | None,
        lacks: Mapping[Capability, str],
    ) -> None:
        """`lacks`: why a capability is missing, where the config cannot add it."""
        self._verbs, self._fields, self._states, self._holder, self._lacks = verbs, fields, states, holder, lacks

    @classmethod
    def missing_capabilities(
        cls, verbs: MappedVerbs[Call], log: object, jobs: MappedJobFields
    ) -> dict[Capability, str]:
        """Capabilities for which the config names no call or field."""
        reasons = {
            **MISSING_CAPABILITIES,
            **{verb.needs: missing_call(verb, cls.what, cls.setting) for verb in (*STARTING, Verb.CANCEL)},
            Capability.LOG: missing_log(cls.setting),
        }
        present = verbs.capabilities(log, None, jobs)
        return {name: reasons[name] for name in MAPPED_CAPABILITIES - present}

    def shown(self, call: Call, verb: Verb, values: Mapping[str, str]) -> tuple[str, str, tuple[str, ...]]:
        """The native verb, the call as text, and the native calls of a preview."""
        raise NotImplementedError

    def check(self, call: Call, verb: Verb, values: Mapping[str, str]) -> None:
        """Raises ActionRefused where the call cannot be sent now, beyond what holds for every kind."""
        raise NotImplementedError

    def notes(self, verb: Verb) -> tuple[str, ...]:
        return (SKIP_NOTE,) if verb is Verb.SKIP else ()

    def send(self, call: Call, values: Mapping[str, Any]) -> str:
        """Sends the call once; returns the message of its receipt."""
        raise NotImplementedError

    def run_with_key(self, key: str, plan: Mapping[str, Any]) -> tuple[str | None, str]:
        """The id of the run that shows our key; without one, why its absence is not proved ("" where it is). Raises
        NotSupported where too many runs would have to be searched."""
        raise NotImplementedError

    def run_row(self, run_id: str, job: str) -> Any | None:
        """The row of one run; None where it is not listed. Raises as `run_with_key`."""
        raise NotImplementedError

    def _required_holder(self) -> MappedHolder:
        if self._holder is None:
            raise NotSupported(self._lacks.get(Capability.HOLD, NO_HOLD))
        return self._holder

    def all_holds(self, known: Collection[str]) -> tuple[NativeHold, ...]:
        return self._required_holder().all_holds(known)

    def without_marks(self, rows: Iterable[Any]) -> list[Any]:
        """The rows of the list of jobs as people wrote them."""
        return [row if self._holder is None else self._holder.without_marks(row) for row in rows]

    def preview(self, spec: ActionSpec) -> Preview:
        if spec.verb in (Verb.HOLD, Verb.RELEASE):
            return self._required_holder().preview(spec)
        return self.preview_call(spec)

    def preview_call(self, spec: ActionSpec) -> Preview:
        """The call that the config names for the verb. Raises NotSupported for a verb without one."""
        call, ref, name = self._verbs.calls.get(spec.verb), spec.run, spec.verb.value
        if call is None:
            raise NotSupported(self._lacks.get(spec.verb.needs) or missing_call(spec.verb, self.what, self.setting))
        values = {self.id_place: ref.native_ref, "job": ref.job, "period": ref.period_key}
        if self.id_place in call.places and not ref.native_ref:
            raise ActionRefused(f"{ref.job} {ref.period_key} has no run at its source to give as {{{self.id_place}}}")
        if spec.verb is Verb.CANCEL and not spec.state.is_open:
            raise ActionRefused(f"the run has ended ({spec.state})")
        if spec.verb in MARKS and spec.state.is_open:
            raise ActionRefused(f"the run is {spec.state}: cancel it first, or let it end")
        if spec.verb in MARKS and spec.state in RESULTS[spec.verb]:
            raise ActionRefused(f"nothing to do: the run is {spec.state}")
        self.check(call, spec.verb, values)
        native_verb, text, native_calls = self.shown(call, spec.verb, values)
        return Preview(
            verb=native_verb,
            summary=f"{name} {ref.job} by {text}",
            scope=f"run {ref.attempt_key} of {ref.job}" if ref.attempt_key else f"job {ref.job}",
            overlap="a run of it is running" if spec.verb in STARTING and spec.state is RunState.RUNNING else None,
            native_calls=native_calls,
            notes=self.notes(spec.verb),
            plan={"verb": name, **values},
        )

    def act(self, preview: Preview, key: str) -> Receipt:
        plan = preview.plan
        if preview.refused or not plan:
            raise NotSupported(f"this preview cannot be sent: {preview.refused or 'it has no plan'}")
        return self._required_holder().act(plan, key) if "how" in plan else self.act_call(plan, key)

    def act_call(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """Sends it once. A key whose run is there already is not sent again."""
        verb = Verb(str(plan["verb"]))
        call = self._verbs.calls.get(verb)
        if call is None:
            raise NotSupported(f"the config names no {self.what} for {verb} any more")
        run = None if verb in RESULTS else self.run_with_key(key, plan)[0]
        if run is not None:
            return Receipt(run, f"was sent before, and is run {run}")
        return Receipt(key, self.send(call, {**plan, "key": key}))

    def look_up(self, preview: Preview, key: str) -> LookUpResult:
        plan = preview.plan
        if not plan:
            return ActionUnknown("the preview has no plan that could be found again")
        try:
            result = self._required_holder().look_up(plan, key) if "how" in plan else self.find_call(plan, key)
        except NotSupported as error:
            result = ActionUnknown(str(error))
        return unless_in_flight(result, preview)

    def find_call(self, plan: Mapping[str, Any], key: str) -> LookUpResult:
        """By the run that shows our key; a cancel or a mark by its run's result. Raises NotSupported where too much
        would have to be searched."""
        verb = Verb(str(plan["verb"]))
        if verb in RESULTS:
            run_id = str(plan[self.id_place])
            return has_result(verb, self.run_row(run_id, str(plan["job"])), run_id, self._fields, self._states)
        run, why = self.run_with_key(key, plan)
        absent = ActionUnknown(why) if why else ActionAbsent()
        return absent if run is None else ActionFound(run, f"run {run} carries it")
