"""Outside text reaches the store, a mail or a log by `console.text.redact.sanitize` alone: no other order of cleaning,
masking and cutting."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.rows import each_row

ROOT = Path(__file__).parents[2]
ONE_WAY = ROOT / "console" / "text" / "redact.py"
SHAPES = "console.text.secret_shapes"
CLEANERS = frozenset({"clean", "clean_line", "one_line"})
COMPARED = {
    "console/engine/api/actions.py": "parameters with a secret of the config are refused, and go nowhere",
}
"""Module -> why it masks by itself."""
NAMES_CLEANED = {
    "acknowledge_page.py": 2,
    "actions/previews.py": 4,
    "api/alerts.py": 2,
    "api/explain.py": 2,
    "api/server.py": 2,
    "api/status_page.py": 1,
    "checks/scheduler.py": 1,
    "evaluation/forecaster.py": 1,
    "notify/mail.py": 1,
    "notify/self_monitoring.py": 2,
    "supervisor/assembly.py": 2,
    "supervisor/health.py": 1,
}
"""Names from the config, of jobs and of persons, and stored text, by module of the engine: cleaned once more, for a
terminal. A number may only fall: text from outside is sanitized."""


def masks(tree: ast.AST) -> Iterator[str]:
    """Calls of a mask. A mask that is handed to `sanitize` is not called."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="mask" | "mask_part" as name)):
                yield name
            case ast.Call(func=ast.Attribute(attr="_mask" as name), args=[_]):
                yield name
            case ast.Call(func=ast.Name(id="mask" as name)):
                yield name
            case ast.ImportFrom(module=module, names=names) if module == SHAPES or (
                module == "console.text" and any(alias.name == "secret_shapes" for alias in names)
            ):
                yield SHAPES
            case ast.Import(names=names) if any(alias.name == SHAPES for alias in names):
                yield SHAPES


def cleanings(tree: ast.Module) -> Iterator[str]:
    """Calls of `console.text.cleaning`, under whatever name it is imported."""
    aliases = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "console.text.cleaning"
        for alias in node.names
        if alias.name in CLEANERS
    }
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in aliases:
                yield name
            case ast.Call(args=arguments, keywords=keywords):
                handed = [*arguments, *(keyword.value for keyword in keywords)]
                yield from (value.id for value in handed if isinstance(value, ast.Name) and value.id in aliases)


def sources(folder: str) -> Iterator[tuple[str, ast.Module]]:
    """Of the modules that name a mask or the cleaner."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        text = path.read_text("utf-8")
        if path != ONE_WAY and any(word in text for word in ("mask", "secret_shapes", "text.cleaning")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(text)


@each_row(
    "source, found",
    [
        ("clean(secrets.mask(text))", ["mask"]),
        ("self._secrets.mask_part(text, True, False)", ["mask_part"]),
        ("clean_line(self._mask(text), limit)", ["_mask"]),
        ("log.warning('x', error=mask(str(error)))", ["mask"]),
        ("from console.text.secret_shapes import mask_shapes", [SHAPES]),
        ("from console.text import secret_shapes", [SHAPES]),
        ("sanitize(text, secrets.mask, 200)", []),
    ],
)
def test_a_way_around_the_one_way_is_found(source: str, found: list[str]) -> None:
    assert found == list(masks(ast.parse(source)))


@each_row(
    "use, found",
    [
        ("clean_line(str(error))", ["clean_line"]),
        ("map(clean, texts)", ["clean"]),
        ("sorted(texts, key=clean)", ["clean"]),
        ("sanitize(str(error))", []),
    ],
)
def test_a_cleaning_that_masks_nothing_is_found(use: str, found: list[str]) -> None:
    source = f"from console.text.cleaning import clean, clean_line\n{use}"
    assert found == list(cleanings(ast.parse(source)))


def test_nothing_but_the_one_way_masks_a_text() -> None:
    """A text that is masked before it is cleaned is put together by the view that cleans it later."""
    own = ("connectors/sdk/", "connectors/airflow/auth.py", "connectors/kubernetes/client.py")
    results = {
        path: [*masks(tree)]
        for folder in ("console", "connectors")
        for path, tree in sources(folder)
        if not path.startswith(own)  # they make the mask, or tell it a token
    }
    assert set(COMPARED) == {path for path, found in results.items() if found}


def test_the_engine_cleans_names_only_and_sanitizes_what_comes_from_outside() -> None:
    counts = Counter(
        path.removeprefix("console/engine/") for path, tree in sources("console/engine") for _ in cleanings(tree)
    )
    assert counts == NAMES_CLEANED
    outside = [
        path for folder in ("connectors", "console/diagnosis") for path, tree in sources(folder) if [*cleanings(tree)]
    ]
    assert [] == outside


def test_the_one_way_keeps_its_order() -> None:
    """Decode and clean, join, mask, cut: each once."""
    tree = ast.parse(ONE_WAY.read_text("utf-8"))
    [function] = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "sanitize"]
    steps = [
        (node.lineno, node.col_offset, node.func.id)
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    names = [name for _, _, name in sorted(steps) if name in ("clean", "joined", "_masked", "known", "cut")]
    assert ["joined", "clean", "clean", "_masked", "known", "cut"] == names
