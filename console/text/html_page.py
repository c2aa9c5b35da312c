"""Self-contained HTML pages that are published as files: one style, light and dark, for phones as well.

A page that is no longer updated says so itself, and a file is replaced whole.
"""

from __future__ import annotations

import base64
import hashlib
import tempfile
from importlib.resources import files
from pathlib import Path

from jinja2 import DictLoader, Environment
from markupsafe import Markup


def rendered_page(template: str, old_after_seconds: int | None, **values: object) -> str:
    """The page of a template that extends "page.html". All values are escaped. `old_after_seconds`: age at which a
    page that is kept up to date says that it no longer is; None for one that is written once."""
    script = (
        "if (Date.now() - Date.parse(document.getElementById('made').dateTime) > "
        f"{old_after_seconds * 1000}) document.getElementById('old').hidden = false;"
        if old_after_seconds
        else ""
    )
    base = DictLoader({"page.html": files("console.text").joinpath("page.html").read_text()})
    script_sum = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = Environment(autoescape=True, loader=base).from_string(template)
    return page.render(script=Markup(script), script_sum=script_sum, **values)  # noqa: S704 - made of our own number


def replace_file(path: Path, text: str) -> None:
    """Writes the file whole or not at all, readable by everybody. Raises OSError."""
    with tempfile.TemporaryDirectory(prefix=".headway-", dir=path.parent) as folder:
        made = Path(folder, "page")
        made.write_text(text, encoding="utf-8")
        made.chmod(0o644)
        made.replace(path)
