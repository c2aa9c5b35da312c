"""`headway connector new NAME`: a package of somebody's own, as under examples/; it passes conformance as it is."""

from __future__ import annotations

import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

NAME = re.compile(r"[a-z][a-z0-9_]{1,30}")


class NotWritten(Exception):
    """Nothing was written; the message says why and what to do."""


def write(name: str, folder: Path) -> list[Path]:
    """Writes the package `headway-NAME` into the folder, which must not be there; the files, in their order.

    Raises NotWritten."""
    if not NAME.fullmatch(name):
        raise NotWritten(f"{name[:40]!a} is no name of a kind: small letters, digits and _, as in my_scheduler")
    if folder.exists():
        raise NotWritten(f"{folder} is there already; nothing was written. Name another folder with --into")
    written = []
    for place, text in rendered(name).items():
        path = folder / place
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise NotWritten(f"{path}: {error.strerror}") from None
        written.append(path)
    return written


def rendered(name: str) -> dict[str, str]:
    """Path in the package -> text."""
    found: dict[str, str] = {}
    for place, text in sorted(_templates(files("connectors.scaffold").joinpath("template"), "")):
        found[place.replace("package/", f"headway_{name}/").removesuffix(".tmpl")] = _named(text, name)
    return found


def _templates(folder: Traversable, prefix: str) -> list[tuple[str, str]]:
    found = []
    for one in folder.iterdir():
        if one.is_dir():
            found += _templates(one, f"{prefix}{one.name}/")
        elif one.name.endswith(".tmpl"):
            found.append((prefix + one.name, one.read_text(encoding="utf-8")))
    return found


def _named(text: str, name: str) -> str:
    title = "".join(part.capitalize() for part in name.split("_"))
    return text.replace("@kind@", name).replace("@Kind@", title).replace("@KIND@", name.upper())
