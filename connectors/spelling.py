"""Texts of options that have a form: what is wrong with one is told by an example, never by the form's own letters."""

from __future__ import annotations

import re

from pydantic import AfterValidator


def spelled(form: str, like: str) -> AfterValidator:
    """A text that fits the whole regular expression `form`; any other is told to be written like `like`."""
    fits = re.compile(form).fullmatch
    if not fits(like):
        raise ValueError(f"{like!r} is no example of {form!r}")

    def checked(text: str) -> str:
        if not fits(text):
            raise ValueError(f"is not written like {like}")
        return text

    return AfterValidator(checked)
