"""The structure of the code: which package may import which, no import cycle, and what is loaded before first paint.

The table of allowed imports is in `docs/architecture.md` as well; `tests/test_docs.py` compares the two."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

from tests.read_back import texts_read_back
from tests.rows import each_row

ROOT = Path(__file__).parent.parent

VOCABULARY = ("connectors.sdk.records", "connectors.sdk.states", "console.domain", "console.text", "console.timing")
"""What every package above `console.timing` may import. The document calls it "base"."""

BELOW_DECISIONS = (*VOCABULARY, "console.control.snapshot", "console.forecast")
"""What a decision may read besides other decisions. The document calls it "estate"."""

ALLOWED_IMPORTS: dict[str, tuple[str, ...]] = {
    "connectors.sdk": (),
    "console.failpoints": (),
    "console.text": (),
    "connectors": ("connectors.sdk", "console.text.redact"),
    "console.timing.durations": (),
    "console.domain": ("connectors.sdk.records", "connectors.sdk.states", "console.timing.durations"),
    "console.timing": (
        "connectors.sdk.cron_syntax", "connectors.sdk.records", "console.domain", "console.text",
        "console.timing.durations",
    ),
    "console.control.snapshot": VOCABULARY,
    "console.forecast": (*VOCABULARY, "console.control.snapshot"),
    "console.control.access": BELOW_DECISIONS,
    "console.control.dependencies": BELOW_DECISIONS,
    "console.control.expectations": (*BELOW_DECISIONS, "connectors.checks.queries"),
    "console.control.detection": BELOW_DECISIONS,
    "console.control.services": BELOW_DECISIONS,
    "console.control.holds": BELOW_DECISIONS,
    "console.control.incidents": (*BELOW_DECISIONS, "console.control.detection", "console.control.services"),
    "console.control.recovery": (
        *BELOW_DECISIONS, "console.control.expectations", "console.control.holds", "console.control.incidents",
        "console.control.services",
    ),
    "console.control.alerts": (*BELOW_DECISIONS, "console.control.incidents"),
    "console.control.policies": (*BELOW_DECISIONS, "console.control.incidents"),
    "console.control.explain": (
        *BELOW_DECISIONS, "console.control.expectations", "console.control.holds", "console.control.services",
    ),
    "console.control.evaluate": (
        *BELOW_DECISIONS, "console.control.alerts", "console.control.detection", "console.control.expectations",
        "console.control.holds", "console.control.incidents", "console.control.policies", "console.control.services",
    ),
    "console.store": (
        *VOCABULARY, "connectors.sdk.contract", "connectors.sdk.transport.libpq", "console.control.services.order",
        "console.failpoints",
    ),
    "console.config": (*VOCABULARY, "connectors.sdk", "connectors.checks.queries"),
    "console.engine": (
        *VOCABULARY, "connectors", "console.config", "console.control", "console.failpoints", "console.forecast",
        "console.store",
    ),
    "console.onboarding": (*VOCABULARY, "connectors.sdk"),
    "console.demo": (*VOCABULARY, "connectors.replay", "console.store"),
    "console.web": ("console.text",),
    "console.tui": (
        *VOCABULARY, "console.config", "console.control.explain", "console.control.holds",
        "console.control.incidents.verdict", "console.control.services.order", "console.engine.api",
        "console.store.audit", "console.store.errors", "console.store.queries",
    ),
    "console.diagnosis": (*VOCABULARY, "connectors.sdk", "console.config", "console.engine", "console.store"),
    "console.cli": (
        *VOCABULARY, "connectors.cron.client", "connectors.sdk", "console.config",
        "console.control.dependencies", "console.control.explain", "console.control.holds", "console.diagnosis",
        "console.control.incidents.verdict", "console.control.policies", "console.control.services",
        "console.engine.api", "console.forecast", "console.onboarding", "console.store.db.backup",
        "console.store.db.read_connection", "console.store.errors", "console.store.queries",
        "console.tui", "console.web",
    ),
    "console.cli.demo": (*VOCABULARY, "console.cli", "console.config", "console.demo", "console.store", "console.tui"),
    "console.cli.engine": (
        *VOCABULARY, "connectors.sdk", "console.cli", "console.config", "console.engine",
        "console.store",
    ),
    "console.cli.mcp": (
        *VOCABULARY, "connectors.sdk", "console.cli", "console.config", "console.engine",
        "console.store",
    ),
    "console.__main__": ("console.cli",),
}  # fmt: skip
"""Package -> what it may import besides itself. A module belongs to the longest name that it begins with, and each
package imports only packages listed above it. Kinds of connectors do not import each other."""

NAMESPACES = {"console", "console.control"}
"""Packages that only hold others; they import nothing."""

SMALL_MODULE_LINES = 80

SMALL_MODULES = {
    "connectors.sdk.parser_process": "limits for any parser of outside text; it is also the program of the process",
    "connectors.checks.file": "one module per data source of checks",
    "connectors.checks.http": "one module per data source of checks",
    "connectors.checks.object": "one module per data source of checks",
    "console.config.policies": "one module per table of config that has values of its own",
    "console.control.policies.proposals": "a decision of the command line, which the engine does not load",
    "console.control.alerts.digest": "a decision about alerts that wait, made while the engine sends",
    "console.control.incidents.verdict": "the verdict line that alerts and the console share",
    "console.diagnosis.machine": "one module of checks per subject",
    "console.engine.api.services": "one module of requests per context",
    "console.engine.api.systems": "one module of requests per context",
    "console.engine.retention": "the engine's part of retention",
    "console.engine.holds": "the engine's part of the context holds",
    "console.store.queries.checks": "one reader per context",
    "console.store.queries.names": "one reader per context",
    "console.store.queries.plans": "one reader per context",
    "console.store.queries.policies": "one reader per context",
    "console.store.queries.reader": "the queries of all contexts, loaded with the first store",
    "console.store.request_queue": "the engine's side of the table of requests",
    "console.tui.widgets.themes": "our colors, as data",
    "console.tui.terminal.browser_driver": "a driver of Textual, loaded by `headway console serve` only",
}
"""Modules shorter than that with one importer -> why they stand alone. Those of a kind of connector have the same names
in every kind, so they need no reason."""

CONTROL_LIBRARIES = {"rustworkx", "cronsim", "holidays", "numpy"}

CONTROL_STDLIB_REFUSED = {
    "asyncio", "concurrent", "glob", "http", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets",
    "shutil", "signal", "smtplib", "socket", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "time",
    "urllib",
}  # fmt: skip

CLOCKS_AND_FILES = {
    "datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "time.monotonic",
    "time.perf_counter", "open", "input", "print", "uuid.uuid4", "uuid4",
}  # fmt: skip

PURE_CONNECTOR_HELPERS = (
    "connectors.aws",
    "connectors.sdk.aws.schedules",
    "connectors.sdk.aws.values",
    "connectors.sdk.contract",
    "connectors.sdk.cron_syntax",
    "connectors.sdk.errors",
    "connectors.sdk.field_mapping",
    "connectors.sdk.fields",
    "connectors.sdk.job_agent",
    "connectors.sdk.log_chunks",
    "connectors.sdk.marked_pause",
    "connectors.sdk.records",
    "connectors.sdk.states",
    "connectors.sdk.transport.script_output",
    "connectors.sdk.vanished_runs",
    "connectors.sdk.yaml_document",
)

PURE_PARSER_LIBRARIES = {"pydantic", "cronsim", "yaml"}

HEAVY = {
    "alembic", "apprise", "boto3", "botocore", "croniter", "cronsim", "holidays", "httpx", "networkx", "numpy",
    "paramiko", "psycopg", "pydantic", "requests", "rustworkx", "sqlalchemy", "sqlmodel", "structlog",
}  # fmt: skip


@cache
def graph() -> grimp.ImportGraph:
    """Every import, also those inside functions and under TYPE_CHECKING, with external packages."""
    return grimp.build_graph("console", "connectors", include_external_packages=True, cache_dir=None)


def is_product(module: str) -> bool:
    return within(module, "console") or within(module, "connectors")


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@cache
def product_modules() -> tuple[str, ...]:
    return tuple(sorted(module for module in graph().modules if is_product(module)))


def imports_of(package: str) -> Iterator[tuple[str, str]]:
    """Importer and imported, for every import in this package."""
    for module in product_modules():
        if within(module, package):
            for imported in sorted(graph().find_modules_directly_imported_by(module)):
                yield module, imported


def package_of(module: str) -> str:
    """The row of the table that a module belongs to; "" if there is none."""
    return max((package for package in ALLOWED_IMPORTS if within(module, package)), key=len, default="")


def source(module: str) -> Path:
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


# imports between packages


def test_every_package_has_a_row() -> None:
    assert [] == [module for module in product_modules() if not package_of(module) and module not in NAMESPACES]
    assert [] == [package for package in ALLOWED_IMPORTS if package not in graph().modules]
    assert [] == [imported for package in NAMESPACES for imported in graph().find_modules_directly_imported_by(package)]


@each_row("package", ALLOWED_IMPORTS)
def test_a_package_imports_only_what_the_table_allows(package: str) -> None:
    allowed = (package, *ALLOWED_IMPORTS[package])
    refused = [
        f"{importer} -> {imported}"
        for importer, imported in imports_of(package)
        if package_of(importer) == package and is_product(imported)
        if not any(within(imported, name) for name in allowed)
    ]
    assert [] == refused


def test_a_package_imports_only_packages_above_it_in_the_table() -> None:
    order = list(ALLOWED_IMPORTS)
    below = [
        f"{package} -> {name}"
        for package in order
        for name in ALLOWED_IMPORTS[package]
        for row in ([row for row in order if within(row, name)] if name in NAMESPACES else [package_of(name)])
        if order.index(row) >= order.index(package)
    ]
    assert [] == below


def test_deciding_whom_to_notify_imports_no_text_of_notifications() -> None:
    texts = {"headline", "business_message", "technical_message", "services_table", "notice"}
    deciding = {"candidates", "context", "joint_repair", "routing", "service_stream", "suppression"}
    imports = (
        (importer.rpartition(".")[2], imported.rpartition(".")[2])
        for importer, imported in imports_of("console.control.alerts")
        if within(imported, "console.control.alerts")
    )
    assert [] == [pair for pair in imports if pair[0] in deciding and pair[1] in texts]


def test_a_kind_of_connector_imports_no_other_kind() -> None:
    across = [
        f"{importer} -> {imported}"
        for kind in kinds()
        for importer, imported in imports_of(kind)
        for other in kinds()
        if other != kind and within(imported, other)
    ]
    assert [] == across


def test_the_contract_needs_nothing_but_the_standard_library() -> None:
    contract = ("connectors.sdk.contract", "connectors.sdk.errors", "connectors.sdk.records", "connectors.sdk.states")
    foreign = [
        imported
        for module in contract
        for _, imported in imports_of(module)
        if imported not in sys.stdlib_module_names and imported not in contract
    ]
    assert [] == foreign


@cache
def kinds() -> tuple[str, ...]:
    return tuple(sorted(f"connectors.{path.parent.name}" for path in (ROOT / "connectors").glob("*/connector.py")))


def test_a_parser_computes_and_does_no_io() -> None:
    refused = [
        f"{importer} -> {imported}"
        for kind in kinds()
        for importer, imported in imports_of(f"{kind}.parse")
        if within(imported, f"{kind}.client")
        or not (
            imported in sys.stdlib_module_names
            or imported in PURE_PARSER_LIBRARIES
            or imported in PURE_CONNECTOR_HELPERS
            or within(imported, kind)
        )
    ]
    assert [] == refused


# cycles, names, sizes


def test_no_modules_import_each_other_in_a_cycle() -> None:
    """Of any size, with imports inside functions and under TYPE_CHECKING counted."""
    imports = {
        module: {name for name in graph().find_modules_directly_imported_by(module) if is_product(name)}
        for module in product_modules()
    }
    assert [] == cycle_in(imports)


def cycle_in(imports: dict[str, set[str]]) -> list[str]:
    """One cycle, first module repeated at the end; empty when there is none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1]
        return cycle
    return []


def test_a_cycle_of_three_is_found() -> None:
    assert {"a", "b", "c"} == set(cycle_in({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}))
    assert [] == cycle_in({"a": {"b", "c"}, "b": {"c"}, "c": set()})


def test_a_public_class_name_is_used_once() -> None:
    """So that a name found by grep is one thing. Private names may repeat."""
    places = defaultdict(list)
    for module in product_modules():
        for name in re.findall(r"^class (?!_)(\w+)[(:]", source(module).read_text(encoding="utf-8"), re.MULTILINE):
            places[name].append(module)
    assert {} == {name: modules for name, modules in places.items() if len(modules) > 1}


def small_modules() -> set[str]:
    """Modules under SMALL_MODULE_LINES with exactly one importer, fronts of packages left out."""
    return {
        module
        for module in product_modules()
        if source(module).name != "__init__.py"
        and not any(within(module, kind) for kind in kinds())
        and len(importers(module)) == 1
        and len(source(module).read_text(encoding="utf-8").splitlines()) < SMALL_MODULE_LINES
    }


def importers(module: str) -> list[str]:
    return [name for name in graph().find_modules_that_directly_import(module) if is_product(name)]


def test_a_small_module_with_one_importer_has_a_stated_reason() -> None:
    assert set() == small_modules() - set(SMALL_MODULES)
    assert [] == [module for module, reason in SMALL_MODULES.items() if len(reason) < 15]


def test_a_screen_is_one_class_over_the_base_of_all_screens() -> None:
    """A screen gets its abilities as parts, not from a chain of bases."""
    bases = {
        node.name: {ast.unparse(base).partition("[")[0] for base in node.bases}
        for module in product_modules()
        if within(module, "console.tui")
        for node in ast.parse(source(module).read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    }
    screens = {name for name, above in bases.items() if "HeadwayScreen" in above}
    assert len(screens) > 15
    assert set() == {name for name, above in bases.items() if above & screens}


# decisions are pure


DECISIONS = ("console.control", "console.forecast")


def decision_files() -> list[Path]:
    return sorted(source(module) for module in product_modules() if any(within(module, name) for name in DECISIONS))


def test_a_decision_cannot_start_a_query() -> None:
    """Decisions see frozen values; a table row would bring a session with it, even through another module."""
    tables = [module for module in product_modules() if within(module, "console.domain.schema")]
    assert tables
    reached = [
        (package, table)
        for package in DECISIONS
        for table in tables
        if graph().chain_exists(importer=package, imported=table, as_packages=True)
    ]
    assert [] == reached


def test_a_decision_uses_only_libraries_without_io() -> None:
    refused = [
        f"{importer} -> {imported}"
        for package in DECISIONS
        for importer, imported in imports_of(package)
        if not is_product(imported)
        and imported not in CONTROL_LIBRARIES
        and (imported not in sys.stdlib_module_names or imported in CONTROL_STDLIB_REFUSED)
    ]
    assert [] == refused


def test_only_the_forecast_the_engine_and_time_buffers_compute_with_arrays() -> None:
    """`finish_times` and `usual` are read by screens and plans, so they do without."""
    arrays = {importer for importer, imported in imports_of("console") if within(imported, "numpy")}
    with_arrays = ("console.forecast", "console.engine", "console.control.dependencies")
    assert [] == [name for name in sorted(arrays) if not any(within(name, package) for package in with_arrays)]
    for module in ("console.forecast.finish_times", "console.forecast.usual"):
        assert not graph().chain_exists(importer=module, imported="numpy")


def test_the_simulation_knows_numbers_only_and_no_estate() -> None:
    package = "console.forecast.simulation"
    assert [] == [name for _, name in imports_of(package) if is_product(name) and not within(name, package)]


def called_name(call: ast.Call) -> str:
    """The last two parts of what is called: `datetime.now` for `dt.datetime.now(UTC)`."""
    return ".".join(ast.unparse(call.func).split(".")[-2:])


def test_a_decision_reads_no_clock_and_no_file() -> None:
    ends = re.compile("|".join(rf"\b{name.rpartition('.')[2]}\(" for name in CLOCKS_AND_FILES))
    calls = [
        f"{path.relative_to(ROOT)}:{node.lineno} {called_name(node)}"
        for path in decision_files()
        if ends.search(text := path.read_text(encoding="utf-8"))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and called_name(node) in CLOCKS_AND_FILES
    ]
    assert [] == calls


def test_the_clock_reading_calls_are_recognised() -> None:
    """Proves the test above: each of these would be caught."""
    calls = ["datetime.now(UTC)", "dt.datetime.now()", "date.today()", "open('x')", "time.time()"]
    names = [called_name(node) for call in calls for node in ast.walk(ast.parse(call)) if isinstance(node, ast.Call)]
    assert set() == set(names) - CLOCKS_AND_FILES


MUTABLE = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
MUTABLE_TYPES = {"list", "dict", "set", "bytearray", "deque", "defaultdict", "Counter", "OrderedDict"}


def module_state(path: Path, text: str) -> Iterator[str]:
    """Mutable state at the top of a module or declared `global`, also under a constant's name."""
    module = ast.parse(text)
    changed = {name for node in ast.walk(module) if (name := mutated_name(node))}
    for at_top in module.body:
        for name, value in assigned(at_top):
            if name in changed or (holds_mutable(value) and name != name.upper() and name != "__all__"):
                yield f"{path}:{at_top.lineno} {name}"
    for node in ast.walk(module):
        if isinstance(node, ast.Global):
            yield f"{path}:{node.lineno} global {', '.join(node.names)}"


def assigned(node: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.Assign):
        yield from ((ast.unparse(target), node.value) for target in node.targets)
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        yield ast.unparse(node.target), node.value


def holds_mutable(value: ast.expr) -> bool:
    called = ast.unparse(value.func).split("[")[0].split(".")[-1] if isinstance(value, ast.Call) else ""
    return isinstance(value, MUTABLE) or called in MUTABLE_TYPES


def mutated_name(node: ast.AST) -> str:
    """The name that this node mutates, by an item or a method; "" if none."""
    mutators = {"append", "extend", "add", "update", "clear", "pop", "popitem", "setdefault", "insert", "remove"}
    is_set = isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del)
    if is_set or (isinstance(node, ast.Attribute) and node.attr in mutators):
        assert isinstance(node, ast.Subscript | ast.Attribute)
        return ast.unparse(node.value)
    return ""


def test_a_decision_keeps_no_state_in_its_module() -> None:
    """Caches are passed in by the caller; `cache` and `lru_cache` hold no facts."""
    state = [
        line
        for path in decision_files()
        for line in module_state(path.relative_to(ROOT), path.read_text(encoding="utf-8"))
    ]
    assert [] == state


def test_module_state_is_recognised() -> None:
    """Proves the test above: each of these would be caught, and a table of constants would not."""
    caught = [
        "_kept: list[int] = []",
        "last = dict[int, str]()",
        "SEEN = {}\ndef f(): SEEN[1] = 2",
        "SEEN: set[int] = set()\ndef f(): SEEN.add(1)",
        "number = 0\ndef f():\n    global number\n    number = 1",
    ]
    assert [1] * len(caught) == [len(list(module_state(Path("m.py"), text))) for text in caught]
    assert [] == list(module_state(Path("m.py"), "WORDS = {'a': 1}\nMOST = 3\ndef f(): return WORDS['a']"))


def loaded_by(code: str) -> set[str]:
    """Top-level names of the modules that a fresh interpreter has loaded after `code`."""
    script = f"{code}\nimport json, sys\nsys.stderr.write('LOADED' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert "LOADED" in done.stderr, done.stderr
    return {module.split(".")[0] for module in json.loads(done.stderr.split("LOADED")[1])}


def test_the_command_shows_its_help_without_any_heavy_library() -> None:
    code = """
import sys
sys.argv = ["headway", "--help"]
from console.__main__ import main
try:
    main()
except SystemExit:
    pass
"""
    assert set() == loaded_by(code) & (HEAVY | {"textual"})


def test_commands_load_arrays_only_when_they_forecast() -> None:
    computing = {"console.cli.engine", "console.cli.forecast"}
    assert "numpy" not in loaded_by(f"import {', '.join(sorted(computing))}")


def test_commands_that_read_and_request_load_no_heavy_library() -> None:
    discovering = {"init_dialog", "onboarding"}
    names = {path.stem for path in (ROOT / "console/cli").glob("*.py")} - discovering
    assert set() == loaded_by(f"from console.cli import {', '.join(sorted(names - {'__init__'}))}") & HEAVY


def test_the_console_paints_first_and_loads_the_heavy_libraries_later() -> None:
    loaded = loaded_by("import console.__main__, console.tui.app.navigation")
    assert "textual" in loaded
    assert set() == loaded & HEAVY


SQL = re.compile(r"\b(SELECT|INSERT INTO|DELETE FROM|UPDATE \w+ SET|JOIN|WHERE)\b")

FOREIGN_SQL = {
    "console.onboarding.discovery": "queries of other databases, to find schedulers in them",
}


def sql_strings(code: str) -> list[str]:
    """Strings with SQL, parts of f-strings included; without docstrings."""
    if not SQL.search(code):
        return []
    tree = ast.parse(code)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
        if SQL.search(node.value)
    ]


def test_only_the_store_contains_sql() -> None:
    elsewhere = {
        module: texts
        for module in product_modules()
        if within(module, "console") and not within(module, "console.store") and module not in FOREIGN_SQL
        if (texts := sql_strings(source(module).read_text(encoding="utf-8")))
    }
    assert {} == elsewhere


def test_an_action_and_a_plan_are_inserted_by_one_statement_each() -> None:
    statements = [
        (module, text)
        for module in product_modules()
        if within(module, "console.store")
        for text in sql_strings(source(module).read_text(encoding="utf-8"))
    ]
    for table in ("action", "plan", "plan_step", "request"):
        inserts = [module for module, text in statements if f"INSERT INTO {table} (" in text]
        assert len(inserts) == 1, (table, inserts)


@pytest.mark.parametrize("code", ['x = "SELECT 1"', 'x = f"{verb} a FROM b WHERE c"', 'x = "UPDATE plan SET a = 1"'])
def test_sql_in_a_string_is_found(code: str) -> None:
    assert sql_strings(code)


ROW_LISTS = {"rows", "stream", "by_keys", "fetchall"}
ROWS = {"first", "fetchone"}
"""Methods that return rows of the database, and one row."""


def _called(node: ast.expr | None) -> str:
    return node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""


def rows_by_position(source: str) -> list[str]:
    """Each subscript with a number (or a slice) on a row of the database, and each unpacking of one."""
    nodes = list(ast.walk(ast.parse(source)))
    lists, rows = {"rows"}, {"row"}
    for node in nodes:
        if isinstance(node, ast.Assign | ast.NamedExpr):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {target.id for target in targets if isinstance(target, ast.Name)}
            lists |= names if _called(node.value) in ROW_LISTS else set()
            rows |= names if _called(node.value) in ROWS else set()
    for node in nodes:
        if isinstance(node, ast.For | ast.comprehension) and isinstance(node.target, ast.Name):
            is_list = isinstance(node.iter, ast.Name) and node.iter.id in lists
            rows |= {node.target.id} if is_list or _called(node.iter) in ROW_LISTS else set()
    return [
        f"line {part.lineno}: {ast.unparse(part)}"
        for node in nodes
        for part in [node.target if isinstance(node, ast.comprehension) else node]
        if isinstance(part, ast.expr | ast.stmt) and _reads_by_position(node, lists, rows)
    ]


def _reads_by_position(node: ast.AST, lists: set[str], rows: set[str]) -> bool:
    match node:
        case ast.Subscript():
            return _is_position(node.slice) and _is_row(node.value, lists, rows)
        case ast.Starred():
            return _is_row(node.value, lists, rows)
        case ast.Assign(targets=[ast.List(elts=[inner]) | ast.Tuple(elts=[inner])]):  # [(a, b)] = session.rows(…)
            return _is_unpacking(inner) and _is_list(node.value, lists)
        case ast.Assign(targets=[target]):
            return _is_unpacking(target) and _is_row(node.value, lists, rows)
        case ast.For() | ast.comprehension():
            return _is_unpacking(node.target) and _is_list(node.iter, lists)
    return False


def _is_unpacking(target: ast.expr) -> bool:
    return isinstance(target, ast.Tuple | ast.List)


def _is_list(value: ast.expr, lists: set[str]) -> bool:
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in ("reversed", "iter"):
        return _is_list(value.args[0], lists)
    return _called(value) in ROW_LISTS or (isinstance(value, ast.Name) and value.id in lists)


def _is_position(index: ast.expr) -> bool:
    index = index.operand if isinstance(index, ast.UnaryOp) else index
    return isinstance(index, ast.Slice) or (isinstance(index, ast.Constant) and isinstance(index.value, int))


def _is_row(value: ast.expr, lists: set[str], rows: set[str]) -> bool:
    if isinstance(value, ast.Subscript):  # rows[0][0]
        return not isinstance(value.slice, ast.Slice) and _is_list(value.value, lists)
    return _called(value) in ROWS or (isinstance(value, ast.Name) and value.id in rows)


@each_row(
    "source",
    [
        "row[0]",
        "row[1:5]",
        "row[-1]",
        "session.first('SELECT 1')[0]",
        "session.rows('SELECT 1')[0][0]",
        "found = session.rows('SELECT 1')\nfound[0][1]",
        "before = session.first('SELECT 1')\nbefore[0]",
        "[one[0] for one in session.stream('SELECT 1')]",
        "found = session.by_keys('', ())\nfor one in found:\n    one[2]",
        "name, value = session.first('SELECT 1')",
        "name, value = row",
        "[(name, value)] = session.rows('SELECT 1')",
        "for name, value in session.rows('SELECT 1'):\n    pass",
        "{name: value for name, value in rows}",
        "for name, *values in reversed(rows):\n    pass",
        "Entry(*row)",
    ],
)
def test_a_row_read_by_position_is_recognized(source: str) -> None:
    assert rows_by_position(source)


BY_POSITION = {
    "store/audit.py": "= entry",  # an entry is sealed in the order of its columns
    "store/db/backup.py": ".fetchall()",  # of sqlite3, without a session
    "store/db/session.py": "(key, *values)",  # values to be written
    "store/ingest/merge.py": "*content, observed_us = row",  # by name, ingest loses a twentieth of its speed
    "store/ingest/records.py": "*row",  # as before
    "store/snapshot/facts.py": "period_name, _ = row",  # by name, loading runs takes half as long again
}


def test_rows_are_read_by_name() -> None:
    """A column that is added or moved must not change what other code reads. `dict` may read two columns."""
    results = [
        f"{path.relative_to(ROOT)} {place}"
        for folder in ("store", "engine", "demo")
        for path in sorted((ROOT / "console" / folder).rglob("*.py"))
        for place in rows_by_position(path.read_text(encoding="utf-8"))
        if not place.endswith(BY_POSITION.get(f"{path.relative_to(ROOT / 'console')}", "never"))
    ]
    assert results == []


READ_BACK = {
    "cli/incidents.py: split": "a note that a person writes, its blanks as one",
    "control/explain/incident_report.py: sub": "an error or a name of a scheduler is escaped, so that it is no markup",
    "control/snapshot/failures.py: sub": "a line of a run's log, without the name of its host",
    "domain/action.py: split": "a connector's summary of an action, which may begin with the verb",
    "domain/system.py: partition": "a message of a connector, which writes its fix after the problem",
    "onboarding/answers.py: re.fullmatch": "what a person types is displayed if it cannot be a secret",
    "onboarding/local_files.py: re.sub": "a name found in a scheduler's files becomes one for the config",
    "store/db/client.py: startswith": "the first line of an error of PostgreSQL",
    "store/names.py: sub": "a scheduler's name in its stored form",
    "tui/widgets/paint.py: rfind": "a job's name is cut at its own separators",
}
"""Module and operation -> why it may read a text: it is from outside."""
READ_BACK_LEFT = {
    "cli/onboarding.py: re.search": 1,
    "control/alerts/technical_message.py: in": 2,
    "control/incidents/news.py: in": 1,
    "domain/plan.py: replace": 1,
    "engine/notify/outbox.py: in": 1,
    "onboarding/schedulers.py: partition": 1,
    "onboarding/schedulers.py: rpartition": 1,
    "store/plans.py: in": 2,
}
"""Our own sentences that are still read back, by module and operation. A number may only fall: a fact that another
module needs is a field beside its text."""


@each_row(
    "source, operation",
    [
        ('f"{incident.title}: ".startswith(name)', "startswith"),
        ('row.reason.partition(" (hold ")[0]', "partition"),
        ('"; ".join(event.text.split()[:3])', "split"),
        ('f": {RESUME} " in root.reason', "in"),
        ("row.reason not in row.title.lower()", "in"),
        ('re.search("a", clean_line(view.message))', "re.search"),
        ('def f(row):\n    one = f"{row.title}:"\n    name = one\n    name.startswith("a")', "startswith"),
        ('def f(row):\n    if (text := row.why or ""):\n        return "a" in text', "in"),
        ('def f(why): return why.removeprefix("a: ")', "removeprefix"),
        ("def f(match, title): return match.cause not in title", "in"),
        ('def f(result): return any("Fix: " in line for line in result.text)', "in"),
        ("def f(row): return g(row.cause, row.title)\ndef g(name, line): return name in line", "in"),
        ("def f(row): return g(line=row.title)\ndef g(line): return PATTERN.search(line)", "search"),
        ("class A:\n    def f(self): return self.g(self.body)\n    def g(self, part): return part.split()", "split"),
    ],
)
def test_a_text_that_is_read_back_is_recognized(source: str, operation: str) -> None:
    assert [("module", operation)] == list(texts_read_back({"module": ast.parse(source)}))


@each_row(
    "source",
    [
        'def parsed(text): return text.partition("=")',
        "def f(row): return len(row.title) in row.lengths",
        'def f(row): return row.text.split("\\n")',
        "def f(row): return row.title == row.reason",
    ],
)
def test_a_value_and_the_lines_of_a_text_may_be_read(source: str) -> None:
    assert [] == list(texts_read_back({"module": ast.parse(source)}))


def test_no_decision_reads_a_sentence_back() -> None:
    """A sentence is written last: who needs a fact of it asks the value that it was written from. `cli/output.py` is
    left out, which lays texts out in lines, as `console.text` does."""
    modules = {
        f"{path.relative_to(ROOT / 'console')}": ast.parse(path.read_text(encoding="utf-8"))
        for folder in ("control", "domain", "engine", "onboarding", "tui", "cli", "store")
        for path in sorted((ROOT / "console" / folder).rglob("*.py"))
        if path != ROOT / "console" / "cli" / "output.py"
    }
    results = Counter(f"{module}: {operation}" for module, operation in texts_read_back(modules))
    assert set(READ_BACK) <= set(results), "an exception that nothing needs"
    assert len(READ_BACK) <= 10
    assert {module: number for module, number in results.items() if module not in READ_BACK} == READ_BACK_LEFT
