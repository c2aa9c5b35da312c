"""The part of a profile that does not depend on its base: names, sign-in, options, reasons.

A profile is data. Its texts name fields of a reply and places in braces; nothing in them is evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, create_model, model_validator

from connectors.sdk.field_mapping import PROFILE_PLACES
from connectors.sdk.option_errors import StrictOptions, formatted_like
from connectors.sdk.rest_options import AccountOptions
from connectors.sdk.secrets import SecretRef
from connectors.sdk.states import Capability

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
_TYPES: dict[str, Any] = {"text": OptionText, "number": Annotated[int, Field(ge=0)], "texts": OptionTexts}


class ProfileOption(StrictOptions):
    """An option that a system of the profile's kind has in the config."""

    about: Sentence
    """Description for people."""
    type: Literal["text", "number", "texts"] = "text"
    """Type of its value; "texts" is a list, for `targets`."""
    default: OptionText | int | None = None
    """Its value where the config has none; without it the option is required."""

    @model_validator(mode="after")
    def default_of_its_type(self) -> Self:
        expected = {"text": str, "number": int, "texts": type(None)}[self.type]
        if self.default is not None and not isinstance(self.default, expected):
            raise ValueError(f'default does not fit type = "{self.type}"')
        return self


class ProfileHeader(StrictOptions):
    """The kind that a profile makes."""

    kind: Annotated[str, formatted_like(r"[a-z][a-z0-9_]{1,30}", "gitlab")]
    """Name of the kind, as a config has it."""
    base: Literal["http"]
    """The kind that reads it."""
    title: Annotated[str, Field(min_length=2, max_length=60)]
    """Name of the scheduler for people."""
    url: str = ""
    """Address of the hosted service, where there is one; else the config names it."""
    sign_in: Literal["bearer", "basic", "header", "none"] = "bearer"
    """How the account is sent: a token (bearer, header), username and password (basic), or not at all."""
    token_header: Annotated[str, formatted_like(r"[A-Za-z0-9-]{1,60}", "X-Api-Key")] | None = None
    """Name of the header of the token, for sign_in = "header"."""
    ladder: Sentence
    """How much the kind proves, and by which evidence."""
    grants: Sentence
    """The least rights of the account, for `headway connector grants`."""
    options: dict[OptionName, ProfileOption] = Field(default_factory=dict)
    """Options of a system besides the address and the account."""
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
            names = [f"option.{name}" for name in options] if isinstance(options, Mapping) else []
            places = {*names, *([TARGET_PLACE] if document.get("targets") else [])}
            info.context[PROFILE_PLACES] = places - {f"option.{document.get('targets')}"}
        return document

    @model_validator(mode="after")
    def targets_are_an_option(self) -> Self:
        if taken := sorted(set(self.options) & set(AccountOptions.model_fields)):
            raise ValueError(f"options.{taken[0]}: every system has this option. Choose another name")
        lists = sorted(name for name, option in self.options.items() if option.type == "texts")
        if lists != ([self.targets] if self.targets else []):
            raise ValueError('targets names the one option of type "texts"; there are no others of this type')
        if (self.sign_in == "header") != (self.token_header is not None):
            raise ValueError('token_header and sign_in = "header" belong together')
        return self

    def options_model(self) -> type[AccountOptions]:
        """The options of a system: the address, the account, and those that the profile declares."""
        fields: dict[str, Any] = {"url": (str, self.url or ...)}
        account = {"bearer": ("token",), "header": ("token",), "basic": ("username", "password"), "none": ()}
        for name in account[self.sign_in]:
            fields[name] = (str if name == "username" else SecretRef, ...)
        for name, option in self.options.items():
            default = ... if option.default is None else option.default
            fields[name] = (_TYPES[option.type], Field(default, description=option.about))
        title = "".join(part.capitalize() for part in self.kind.split("_"))
        return create_model(f"{title}Options", __base__=AccountOptions, **fields)

    def values(self, options: AccountOptions, target: str) -> dict[str, Any]:
        """Place -> its value for the calls to one target."""
        given = {f"option.{name}": getattr(options, name) for name in self.options if name != self.targets}
        return {**given, TARGET_PLACE: target} if self.targets else given
