"""The part of a profile that does not depend on its base: names, options, reasons.

A profile is data. Its texts name fields of a reply and places in braces; nothing in them is evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import compress
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, create_model, model_validator

from connectors.sdk.contract import ApiComparison, Connector, ConnectorKind, SecretResolver
from connectors.sdk.field_mapping import PROFILE_PLACES, PROFILE_SECRETS, MappedJobFields
from connectors.sdk.mapped_actions import MISSING_CAPABILITIES, VERB_NAMES, MappedVerbs
from connectors.sdk.option_errors import StrictOptions, Zone, formatted_like
from connectors.sdk.secrets import SecretRef
from connectors.sdk.states import Capability, ProofLevel, Verb

OptionName = Annotated[str, formatted_like(r"[a-z][a-z_]{0,30}", "account")]
Sentence = Annotated[str, Field(min_length=10, max_length=2000)]
MAX_OPTION_CHARACTERS = 200
TARGET_PLACE = "target"


def _option_text(text: str) -> str:
    """A value for a path or a query: one line, and no braces, since it is filled into a text that has some."""
    if not text or len(text) > MAX_OPTION_CHARACTERS or not text.isprintable() or set("{}") & set(text):
        raise ValueError(f"must be 1 to {MAX_OPTION_CHARACTERS} characters on one line, without braces")
    if text != text.strip() or set(text.split("/")) & {".", ".."}:
        raise ValueError('must have no space at an end and no part "." or ".."')
    return text


OptionText = Annotated[str, AfterValidator(_option_text)]


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{twice[0]} is named twice: keep one")
    return names


OptionTexts = Annotated[tuple[OptionText, ...], Field(min_length=1), AfterValidator(_each_once)]
_TYPES: dict[str, Any] = {
    "text": OptionText,
    "number": Annotated[int, Field(ge=0)],
    "texts": OptionTexts,
    "zone": Zone,
    "secret": SecretRef | None,
}


class ProfileOption(StrictOptions):
    """An option that a system of the profile's kind has in the config."""

    about: Sentence
    """Description for people."""
    type: Literal["text", "number", "texts", "zone", "secret"] = "text"
    """Type of its value; "texts" is a list, for `targets`, "zone" a time zone. A "secret" is a reference; without it an
    action that sends it is refused."""
    default: OptionText | int | None = None
    """Its value where the config has none; without it the option is required."""

    @model_validator(mode="after")
    def default_of_its_type(self) -> Self:
        expected = {"text": str, "number": int, "texts": type(None), "zone": str}.get(self.type, type(None))
        if self.default is not None and not isinstance(self.default, expected):
            raise ValueError(f'default does not fit type = "{self.type}"')
        return self


class ProfileHeader(StrictOptions):
    """The kind that a profile makes."""

    possible: ClassVar[frozenset[Capability]]
    """Capabilities that a profile of this base has, or says why not."""

    kind: Annotated[str, formatted_like(r"[a-z][a-z0-9_]{1,30}", "gitlab")] = Field(examples=["nightly"])
    """Name of the kind, as a config has it."""
    base: str
    """The kind that reads it."""
    title: Annotated[str, Field(min_length=2, max_length=60, examples=["Nightly"])]
    """Name of the scheduler for people."""
    ladder: Sentence = Field(examples=["Proves a run's end as its source reports it."])
    """How much the kind proves, and by which evidence."""
    grants: Annotated[str, Field(min_length=10, max_length=20_000, examples=["# A token that may read jobs and runs."])]
    """The least rights of the account, for `headway connector grants`."""
    options: dict[OptionName, ProfileOption] = Field(default_factory=dict)
    """Options of a system besides those of its base."""
    targets: str = ""
    """The option that lists the targets; {target} is then one of them."""
    lacks: dict[Capability, Sentence] = Field(default_factory=dict)
    """Why a capability is missing."""

    @model_validator(mode="before")
    @classmethod
    def declare_places(cls, document: Any, info: Any) -> Any:
        """Names for the calls, which are validated next."""
        if isinstance(document, Mapping) and info.context is not None:
            options = document.get("options")
            options = options if isinstance(options, Mapping) else {}
            names = [f"option.{name}" for name in options]
            is_secret = [isinstance(option, Mapping) and option.get("type") == "secret" for option in options.values()]
            info.context[PROFILE_SECRETS] = set(compress(names, is_secret))
            places = {*names, *([TARGET_PLACE] if document.get("targets") else [])}
            info.context[PROFILE_PLACES] = places - {f"option.{document.get('targets')}"}
        return document

    @model_validator(mode="after")
    def options_fit_together(self) -> Self:
        base = self.system_options()
        if taken := sorted(set(self.options) & {*base.model_fields, *dir(base)}):
            problem = "every system has this option" if taken[0] in base.model_fields else "this name is reserved"
            raise ValueError(f"options.{taken[0]}: {problem}. Choose another name")
        lists = sorted(name for name, option in self.options.items() if option.type == "texts")
        if lists != ([self.targets] if self.targets else []):
            raise ValueError('targets names the one option of type "texts"; there are no others of this type')
        secrets = sorted(name for name, option in self.options.items() if option.type == "secret")
        if secrets and self.base != "http":
            raise ValueError(f'options.{secrets[0]}: only calls with base = "http" send a secret')
        return self

    @model_validator(mode="after")
    def missing_capabilities_have_reasons(self) -> Self:
        present = self.capabilities()
        for name in sorted(self.possible - present - set(self.lacks)):
            raise ValueError(
                f'lacks: it has no {name.value}: add its call, or say why in [lacks], as {name.value} = "…"'
            )
        for name in sorted(present & set(self.lacks)):
            raise ValueError(f"lacks.{name.value}: it has a call for it: remove the one or the other")
        return self

    def capabilities(self) -> frozenset[Capability]:
        """Those that its calls give."""
        raise NotImplementedError

    def warnings(self) -> list[tuple[tuple[str, ...], str]]:
        """Probable mistakes that are allowed: the key, and the text with its fix."""
        raise NotImplementedError

    def missing(self) -> dict[Capability, str]:
        """Why each other capability is missing."""
        present = self.capabilities()
        reasons = {name: reason for name, reason in MISSING_CAPABILITIES.items() if name not in present}
        return {**reasons, **self.lacks}

    def kind_of(
        self,
        verbs: MappedVerbs[Any],
        jobs: MappedJobFields,
        targets: Callable[[Any], list[str]],
        open_target: Callable[[Any, str, SecretResolver], Connector],
    ) -> ConnectorKind:
        """The kind that the profile makes, with its calls and its fields of a job."""
        capabilities = self.capabilities()
        titles = {verb: call.title or VERB_NAMES[verb] for verb, call in verbs.calls.items()}
        holds = {Verb.HOLD: "pause the job", Verb.RELEASE: "resume the job"}
        return ConnectorKind(
            kind=self.kind,
            title=self.title,
            options=self.model_of_options(),
            targets=targets,
            open=open_target,
            capabilities=capabilities,
            missing=self.missing(),
            proofs=frozenset({ProofLevel.FULL if Capability.LOG in capabilities else ProofLevel.EXIT}),
            verbs={**titles, **(holds if Capability.HOLD in capabilities else {})},
            may_start_early=True,
            dates_runs=True,
            schedules="expression" if jobs.schedule else "next" if jobs.next_at else "",
            ladder=" ".join(self.ladder.split()),
        )

    def system_options(self) -> type[StrictOptions]:
        """Options that every system has, whatever the profile declares."""
        raise NotImplementedError

    def compare(self, description: str) -> ApiComparison:
        """With a description of its API. Raises ValueError."""
        raise ValueError(f'cannot be compared with base = "{self.base}". Fix: leave out --api')

    def model_of_options(self) -> type[Any]:
        """The options of a system, the declared ones among them."""
        declared: dict[str, Any] = {}
        for name, option in self.options.items():
            default = ... if option.default is None and option.type != "secret" else option.default
            declared[name] = (_TYPES[option.type], Field(default, description=option.about))
        title = "".join(part.capitalize() for part in self.kind.split("_"))
        return create_model(f"{title}Options", __base__=self.system_options(), **declared)

    def values(self, options: Any, target: str) -> dict[str, Any]:
        """Place -> its value for the calls to one target."""
        plain = [name for name, option in self.options.items() if option.type not in ("texts", "secret")]
        given = {f"option.{name}": getattr(options, name) for name in plain}
        return {**given, TARGET_PLACE: target} if self.targets else given

    def secret_values(self, options: Any) -> dict[str, Any]:
        """Place -> the reference to its value, None where the config has none."""
        secrets = [name for name, option in self.options.items() if option.type == "secret"]
        return {f"option.{name}": getattr(options, name) for name in secrets}
