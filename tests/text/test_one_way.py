"""Outside text reaches the store, a mail or a log by `console.text.redact.sanitize` alone: no other order of cleaning,
masking and cutting."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.rows import each_row

ROOT = Path(__file__).parents[2]
ONE_WAY = ROOT / "console" / "text" / "redact.py"
SHAPES = "console.text.secret_shapes"
CLEANERS = frozenset({"clean", "clean_line", "one_line"})
COMPARED = {
    "console/engine/api/actions.py": "parameters that hold a secret are refused, and go nowhere",
}
"""Module -> why it masks by itself."""
KNOWS_NO_SECRET = {
    "connectors/cron/crontab.py": "the name of a job stays the same, whatever secrets a process has resolved",
    "console/engine/mcp_server.py": "its process resolves no secret, and reads what the engine stored masked",
    "console/engine/notify/mail.py": "the outbox masks the reply again before it is cut and stored",
    "console/engine/notify/rota_calendar.py": "a process of its own; its reader masks what comes back",
}
"""Module -> why it sanitizes without known secrets."""
NAMES_CLEANED = {
    "link_page.py": 2,
    "approval.py": 1,
    "actions/previews.py": 4,
    "api/alerts.py": 2,
    "api/explain.py": 2,
    "api/server.py": 2,
    "api/status_page.py": 1,
    "checks/scheduler.py": 1,
    "evaluation/forecaster.py": 1,
    "notify/mail.py": 1,
    "notify/self_monitoring.py": 1,
    "supervisor/assembly.py": 2,
    "supervisor/health.py": 1,
}
"""Names from the config, of jobs and of persons, and stored text, by module of the engine: cleaned once more, for a
terminal. A number may only fall: text from outside is sanitized."""


RAW_ERRORS = {
    "actions/previews.py": 2,
    "actions/sender.py": 1,
    "api/server.py": 1,
    "notify/mail.py": 1,
    "notify/outbox.py": 1,
    "notify/self_monitoring.py": 1,
    "notify/slack.py": 1,
    "polling/inbound.py": 1,
    "status_page.py": 1,
    "supervisor/engine.py": 1,
}
"""Texts of errors that others raise, by module of the engine, which the reader of a result sanitizes, not the module. A
number may only fall."""
SANITIZERS = {"sanitize", "shown", "_shown", "error_text"}
"""Functions of this and other modules that sanitize; so do those of a module that call `sanitize`."""


def masks(tree: ast.AST) -> Iterator[str]:
    """Calls of a mask. A mask that is handed to `sanitize` is not called."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="mask" | "mask_part" as name)):
                yield name
            case ast.Call(func=ast.Attribute(attr="_mask" as name), args=[_]):
                yield name
            case ast.Call(func=ast.Name(id="mask" | "mask_known" as name)):
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


def without_known(tree: ast.AST) -> Iterator[str]:
    """Masks of no known secret: `NONE_KNOWN`, and another function than a mask handed to `sanitize`."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id="NONE_KNOWN" as name, ctx=ast.Load()) | ast.Attribute(attr="NONE_KNOWN" as name):
                yield name
            case ast.Call(func=ast.Name(id="sanitize") | ast.Attribute(attr="sanitize"), args=[_, known, *_]):
                if "mask" not in ast.unparse(known).lower() and ast.unparse(known) != "NONE_KNOWN":
                    yield ast.unparse(known)


@cache
def own_classes() -> frozenset[str]:
    texts = (path.read_text("utf-8") for path in (ROOT / "console").rglob("*.py"))
    return frozenset(name for text in texts for name in re.findall(r"^class (\w+)", text, re.MULTILINE))


def names_in(kind: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(kind) if isinstance(node, ast.Name)}


def raw_errors(tree: ast.AST) -> Iterator[str]:
    """Texts of caught errors that Headway does not define itself, but where they are sanitized, logged (each line of
    the log is) or raised again."""
    own = own_classes()
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    safe = SANITIZERS | {function.name for function in functions if "sanitize(" in ast.unparse(function)}

    def below(node: ast.AST, errors: frozenset[str]) -> Iterator[str]:
        match node:
            case ast.ExceptHandler(type=kind, name=str(name)) if kind is None or not names_in(kind) <= own:
                errors |= {name}
            case ast.Raise() | ast.Call(func=ast.Name(id="log") | ast.Attribute(value=ast.Name(id="log"))):
                return
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in safe:
                return
            case ast.Call(func=ast.Name(id="str" | "repr"), args=[ast.Name(id=name)]) if name in errors:
                yield ast.unparse(node)
            case ast.FormattedValue(value=ast.Name(id=name)) if name in errors:
                yield name
        for child in ast.iter_child_nodes(node):
            yield from below(child, errors)

    yield from below(tree, frozenset())


def sources(folder: str) -> Iterator[tuple[str, ast.Module]]:
    """Of the modules that name a mask or the cleaner."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        text = path.read_text("utf-8")
        if path != ONE_WAY and any(word in text for word in ("mask", "secret_shapes", "text.cleaning", "sanitize")):
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
        ("sanitize(str(error), mask)", []),
    ],
)
def test_a_cleaning_that_masks_nothing_is_found(use: str, found: list[str]) -> None:
    source = f"from console.text.cleaning import clean, clean_line\n{use}"
    assert found == list(cleanings(ast.parse(source)))


@each_row(
    "source, found",
    [
        ("sanitize(text, str)", ["str"]),
        ("sanitize(text, lambda text: text)", ["lambda text: text"]),
        ("sanitize(text, NONE_KNOWN, 200)", ["NONE_KNOWN"]),
        ("partial(sanitize, known=redact.NONE_KNOWN)", ["NONE_KNOWN"]),
        ("sanitize(text, self._secrets.mask)", []),
    ],
)
def test_a_mask_of_no_known_secret_is_found(source: str, found: list[str]) -> None:
    assert found == list(without_known(ast.parse(source)))


def test_known_secrets_are_masked_wherever_any_can_be_known() -> None:
    found = {path for folder in ("console", "connectors") for path, tree in sources(folder) if [*without_known(tree)]}
    assert found == {*KNOWS_NO_SECRET}


@each_row(
    "use, found",
    [
        ("record(session, str(error))", ["str(error)"]),
        ("self.trouble = f'{kind}: {error}'", ["error"]),
        ("record(session, sanitize(str(error), mask))", []),
        ("record(session, self._line(f'{error}'))", []),
        ("log.warning('x', error=str(error))", []),
        ("raise Refused(str(error))", []),
    ],
)
def test_the_text_of_an_error_that_is_not_sanitized_is_found(use: str, found: list[str]) -> None:
    source = f"def _line(text):\n    return sanitize(text, mask)\ntry:\n    f()\nexcept E as error:\n    {use}"
    assert found == list(raw_errors(ast.parse(source)))


def test_the_engine_sanitizes_the_errors_that_others_raise() -> None:
    folder = ROOT / "console" / "engine"
    trees = ((path, ast.parse(path.read_text("utf-8"))) for path in folder.rglob("*.py"))
    counts = Counter(path.relative_to(folder).as_posix() for path, tree in trees for _ in raw_errors(tree))
    assert counts == RAW_ERRORS


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
