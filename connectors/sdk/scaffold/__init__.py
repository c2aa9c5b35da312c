"""`headway connector new NAME`: writes a connector package, as under examples/, that passes conformance unchanged; or,
with `--profile`, a profile that `headway connector check` accepts."""

from __future__ import annotations

import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from connectors.sdk import registry

NAME = re.compile(r"[a-z][a-z0-9_]{1,30}")


class ScaffoldError(Exception):
    """Nothing was written; the message says why and what to do."""


def write(name: str, folder: Path) -> list[Path]:
    """Writes the package `headway-NAME` into a new folder; returns the files. Raises ScaffoldError."""
    _require_new_kind(name)
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


def write_profile(name: str, folder: Path) -> Path:
    """Writes the profile NAME.toml into an existing folder. Raises ScaffoldError."""
    _require_new_kind(name)
    path = folder / f"{name}.toml"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_filled(files("connectors.sdk.scaffold").joinpath("profile.tmpl").read_text("utf-8"), name))
    except OSError as error:
        missing = "" if folder.exists() else f"make the folder {folder}, or "
        fix = f"{missing}name {'one' if missing else 'another folder'} with --into"
        raise ScaffoldError(f"{path}: {error.strerror}; nothing was written. Fix: {fix}") from None
    return path


def _require_new_kind(name: str) -> None:
    if not NAME.fullmatch(name):
        raise ScaffoldError(f"{name[:40]!a} is not a valid kind: small letters, digits and _, as in my_scheduler")
    if name in registry.kinds():
        raise ScaffoldError(f'"{name}" is an installed kind; nothing was written. Fix: choose another name')


def rendered(name: str) -> dict[str, str]:
    """Path in the package -> text."""
    texts: dict[str, str] = {}
    for place, text in sorted(_templates(files("connectors.sdk.scaffold").joinpath("template"), "")):
        texts[place.replace("package/", f"headway_{name}/").removesuffix(".tmpl")] = _filled(text, name)
    return texts


def _filled(text: str, name: str) -> str:
    title = "".join(part.capitalize() for part in name.split("_"))
    return text.replace("@kind@", name).replace("@Kind@", title).replace("@KIND@", name.upper())


def _templates(folder: Traversable, prefix: str) -> list[tuple[str, str]]:
    templates = []
    for item in folder.iterdir():
        if item.is_dir():
            templates += _templates(item, f"{prefix}{item.name}/")
        elif item.name.endswith(".tmpl"):
            templates.append((prefix + item.name, item.read_text(encoding="utf-8")))
    return templates
