"""`headway connector new NAME`: writes a connector package, as under examples/, that passes conformance unchanged."""

from __future__ import annotations

import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

NAME = re.compile(r"[a-z][a-z0-9_]{1,30}")


class ScaffoldError(Exception):
    """Nothing was written; the message says why and what to do."""


def write(name: str, folder: Path) -> list[Path]:
    """Writes the package `headway-NAME` into a new folder; returns the files. Raises ScaffoldError."""
    if not NAME.fullmatch(name):
        raise ScaffoldError(f"{name[:40]!a} is not a valid kind: small letters, digits and _, as in my_scheduler")
    if folder.exists():
        raise ScaffoldError(f"{folder} is there already; nothing was written. Name another folder with --into")
    written = []
    for place, text in rendered(name).items():
        path = folder / place
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ScaffoldError(f"{path}: {error.strerror}") from None
        written.append(path)
    return written


def rendered(name: str) -> dict[str, str]:
    """Path in the package -> text."""
    texts: dict[str, str] = {}
    title = "".join(part.capitalize() for part in name.split("_"))
    for place, text in sorted(_templates(files("connectors.sdk.scaffold").joinpath("template"), "")):
        filled = text.replace("@kind@", name).replace("@Kind@", title).replace("@KIND@", name.upper())
        texts[place.replace("package/", f"headway_{name}/").removesuffix(".tmpl")] = filled
    return texts


def _templates(folder: Traversable, prefix: str) -> list[tuple[str, str]]:
    templates = []
    for item in folder.iterdir():
        if item.is_dir():
            templates += _templates(item, f"{prefix}{item.name}/")
        elif item.name.endswith(".tmpl"):
            templates.append((prefix + item.name, item.read_text(encoding="utf-8")))
    return templates
