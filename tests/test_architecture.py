"""The arrows between the rooms, and what may be loaded before the console's first paint.

The rooms and their reasons are told in `docs/architecture.md`. A new top-level module fails the first test here until
somebody decides what it may import.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parent.parent

CONTRACT = "connectors.contract"

WORDS = "connectors.words"
"""The contract's words without its records: what screens need before their first paint."""

HELPERS = ("console.charset", "console.clean", "console.clock", "console.durations", "console.failpoints", WORDS)
"""Small ones below every room: outside text, the one clock, "14m", crash points. They import nothing of ours."""

ARROWS: dict[str, tuple[str, ...]] = {
    "console.charset": (),
    "console.clean": (),
    "console.clock": (),
    "console.durations": (),
    "console.failpoints": (),
    "console.paths": (CONTRACT, "connectors.secrets"),
    "console.personal": ("console.model", "console.paths", "console.tui.keys", "console.tui.where"),
    "console.model": (CONTRACT, *HELPERS),
    "console.control": ("console.model", "console.durations", "console.clean", CONTRACT, WORDS),
    "console.store": ("console.model", CONTRACT, *HELPERS),
    "console.config": (
        "console.model",
        CONTRACT,
        "console.paths",
        "console.personal",
        "connectors.registry",
        "connectors.secrets",
        "connectors.checks.questions",
        "connectors.transport.http",
        *HELPERS,
    ),
    "console.engine": (
        "console.model",
        "console.control",
        "console.store",
        "console.config",
        "console.paths",
        "connectors",
        *HELPERS,
    ),
    "console.tui": (
        "console.model",
        "console.config",
        "console.paths",
        "console.personal",
        "console.store.errors",
        "console.store.reads",
        "console.engine.origin",
        "console.engine.requests",
        "console.engine.wishes",
        "console.engine.plan_requests",
        "console.control.gate",
        "console.control.layering",
        "console.control.channels",
        "console.control.lineage",
        "console.control.reach",
        "console.control.timeline",
        "console.control.pages",
        "console.control.report",
        CONTRACT,
        *HELPERS,
    ),
    "console.cli": (
        "console.model",
        "console.config",
        "console.paths",
        "console.personal",
        "console.store.errors",
        "console.store.reads",
        "console.engine.origin",
        "console.engine.requests",
        "console.engine.wishes",
        "console.engine.plan_requests",
        "console.engine.emergency",
        "console.engine.explain",
        "console.engine.what_if",
        "console.store.backup",
        "console.onboarding",
        "console.control.gate",
        "console.control.lineage",
        "console.control.reach",
        "console.control.timeline",
        "console.control.lateness",
        "console.control.risk",
        "console.control.scoring",
        "console.control.calendars",
        "console.control.zones",
        "console.control.cadence",
        "console.control.maintenance",
        "console.control.pages",
        "console.control.report",
        "console.control.stamps",
        CONTRACT,
        "connectors.catalog",
        "connectors.registry",
        "connectors.secrets",
        "connectors.scaffold",
        "connectors.trying",
        "connectors.cron.wrapper",
        "connectors.cron.gate",
        "console.tui.start",
        "console.web",
        *HELPERS,
    ),
    "console.web": HELPERS,
    "console.demo": (
        "console.model",
        "console.control",
        "console.store",
        "console.config",
        "console.engine.requests",
        "console.engine.wishes",
        "connectors",
        *HELPERS,
    ),
    "console.onboarding": ("console.model", "connectors", *HELPERS),
    "console.__main__": ("console.cli", "console.tui", "console.paths"),
}
"""Room -> what it may import of ours besides itself. Every top-level module of `console` has a row."""

WIRED_COMMANDS = ("console.cli.engine", "console.cli.check", "console.cli.demo")
"""Commands that start an engine or probe systems themselves; they may reach the one place that wires everything."""

WIRING = (
    "console.engine.wiring",
    "console.engine.looking",
    "console.engine.runner",
    "console.engine.config_file",
    "console.engine.logs",
    "console.store.open",
    "console.store.errors",
    "console.tui",
    "console.demo",
)

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

PURE_HELPERS = (
    "connectors.aws",
    "connectors.aws.instants",
    "connectors.aws.schedules",
    "connectors.aws.values",
    "connectors.characters",
    "connectors.fields",
    "connectors.gone",
    "connectors.transport.answer",
    "connectors.transport.journal",
    "connectors.whole_log",
)

PURE_PARSER_LIBRARIES = {"pydantic", "cronsim"}

HEAVY = {
    "alembic", "apprise", "boto3", "botocore", "cronsim", "holidays", "httpx", "networkx", "numpy", "paramiko",
    "psycopg", "pydantic", "requests", "rustworkx", "sqlalchemy", "sqlmodel", "structlog",
}  # fmt: skip


@cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(
        "console", "connectors", include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
    )


def within(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


def modules_of(room: str) -> list[str]:
    return sorted(module for module in graph().modules if within(module, room))


def imports_of(room: str) -> Iterator[tuple[str, str]]:
    """Importer and imported, for every import written in this room."""
    for module in modules_of(room):
        for imported in sorted(graph().find_modules_directly_imported_by(module)):
            yield module, imported


def is_ours(module: str) -> bool:
    return within(module, "console") or within(module, "connectors")


def arrows_against(room: str, allowed: tuple[str, ...]) -> list[str]:
    return [
        f"{importer} -> {imported}"
        for importer, imported in imports_of(room)
        if is_ours(imported) and imported != "console" and not any(within(imported, each) for each in (room, *allowed))
    ]


def room_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def test_every_room_of_the_console_has_its_arrows_written_down() -> None:
    rooms = {room_of(module) for module in modules_of("console") if module != "console"}
    assert set() == rooms - set(ARROWS)


def test_connectors_know_nothing_of_the_console() -> None:
    assert [] == arrows_against("connectors", ())


def test_the_contract_needs_nothing_but_the_standard_library() -> None:
    mine = {*sys.stdlib_module_names, WORDS}
    foreign = [imported for room in (CONTRACT, WORDS) for _, imported in imports_of(room) if imported not in mine]
    assert [] == [imported for imported in foreign if not within(imported, CONTRACT)]


def kinds() -> list[str]:
    folders = (ROOT / "connectors").glob("*/connector.py")
    return sorted(f"connectors.{path.parent.name}" for path in folders)


def test_a_connector_does_not_know_the_other_connectors() -> None:
    kind_rooms = tuple(kinds())
    found = [
        f"{importer} -> {imported}"
        for kind in kind_rooms
        for importer, imported in imports_of(kind)
        for other in kind_rooms
        if other != kind and within(imported, other)
    ]
    assert [] == found


def test_a_parser_reads_what_it_is_given_and_talks_to_nobody() -> None:
    found = [
        f"{importer} -> {imported}"
        for kind in kinds()
        for importer, imported in imports_of(f"{kind}.parse")
        if (
            not (imported in sys.stdlib_module_names or imported in PURE_PARSER_LIBRARIES)
            and not (within(imported, kind) or imported in (CONTRACT, WORDS, *PURE_HELPERS))
        )
        or within(imported, f"{kind}.client")
    ]
    assert [] == found


@pytest.mark.parametrize("room", [room for room in ARROWS if room != "console.cli"])
def test_a_room_imports_only_what_its_arrows_allow(room: str) -> None:
    assert [] == arrows_against(room, ARROWS[room])


def test_a_command_asks_by_requests_and_reads_and_only_three_are_wired_to_the_engine() -> None:
    allowed = ARROWS["console.cli"]
    found = [
        arrow
        for arrow in arrows_against("console.cli", allowed)
        if not any(
            within(arrow.split(" -> ")[0], command) and within(arrow.split(" -> ")[1], wiring)
            for command in WIRED_COMMANDS
            for wiring in WIRING
        )
    ]
    assert [] == found


def test_a_decision_cannot_start_a_query() -> None:
    """`control` sees frozen values; a table row would bring a session with it, even by a detour."""
    tables = [module for module in modules_of("console.model") if module.endswith(".tables")]
    chains = [
        graph().find_shortest_chain(module, table) for module in modules_of("console.control") for table in tables
    ]
    assert [] == [chain for chain in chains if chain]


def test_a_decision_uses_only_libraries_that_touch_nothing() -> None:
    found = [
        f"{importer} -> {imported}"
        for importer, imported in imports_of("console.control")
        if not is_ours(imported)
        and imported not in CONTROL_LIBRARIES
        and (imported not in sys.stdlib_module_names or imported in CONTROL_STDLIB_REFUSED)
    ]
    assert [] == found


FORECAST = "console.control.forecast"

WITHOUT_ARRAYS = (FORECAST, f"{FORECAST}.sums", f"{FORECAST}.odds")
"""Modules of that room that screens and plans read, too."""


def test_only_the_simulation_computes_with_arrays_and_only_the_engine_asks_it() -> None:
    arrays = {importer for importer, imported in imports_of("console") if within(imported, "numpy")}
    strange = [each for each in arrays if not within(each, FORECAST) or each in WITHOUT_ARRAYS]
    assert [] == [each for each in strange if not within(each, "console.engine")]
    askers = {
        importer
        for importer, imported in imports_of("console")
        if imported in arrays and not within(importer, FORECAST) and not within(importer, "console.engine")
    }
    assert set() == askers
    assert [] == [each for each in WITHOUT_ARRAYS if graph().find_shortest_chain(each, "numpy")]


def test_the_simulation_of_a_night_knows_numbers_only_and_no_estate() -> None:
    room = f"{FORECAST}.simulation"
    found = [imported for _, imported in imports_of(room) if is_ours(imported) and not within(imported, room)]
    assert [] == found


def called_name(call: ast.Call) -> str:
    """`datetime.now` for `datetime.now(UTC)` and for `dt.datetime.now(UTC)`: the last two parts of what is called."""
    return ".".join(ast.unparse(call.func).split(".")[-2:])


def test_a_decision_takes_the_time_as_an_argument_and_reads_no_clock_and_no_file() -> None:
    ends = re.compile("|".join(rf"\b{name.rpartition('.')[2]}\(" for name in CLOCKS_AND_FILES))
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno} {called_name(node)}"
        for path in sorted((ROOT / "console" / "control").rglob("*.py"))
        if ends.search(text := path.read_text(encoding="utf-8"))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and called_name(node) in CLOCKS_AND_FILES
    ]
    assert [] == found


def test_the_clock_reading_calls_are_recognised() -> None:
    """Proves the net above: each of these would be caught."""
    calls = ["datetime.now(UTC)", "dt.datetime.now()", "date.today()", "open('x')", "time.time()"]
    names = [called_name(node) for call in calls for node in ast.walk(ast.parse(call)) if isinstance(node, ast.Call)]
    assert set() == set(names) - CLOCKS_AND_FILES


MUTABLE = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
MUTABLE_TYPES = {"list", "dict", "set", "bytearray", "deque", "defaultdict", "Counter", "OrderedDict"}


def kept_by_the_module(path: Path, text: str) -> Iterator[str]:
    """Names at the top of a module, or `global` in it, under which something is kept from one call to the next: what is
    no constant by its name, and what a constant's name hides."""
    module = ast.parse(text)
    changed = {name for node in ast.walk(module) if (name := what_it_changes(node))}
    for at_top in module.body:
        for name, value in assigned(at_top):
            if name in changed or (holds_mutable(value) and name != name.upper() and name != "__all__"):
                yield f"{path}:{at_top.lineno} {name}"
    for node in ast.walk(module):
        if isinstance(node, ast.Global):
            yield f"{path}:{node.lineno} global {', '.join(node.names)}"


def assigned(node: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.Assign):
        yield from ((ast.unparse(each), node.value) for each in node.targets)
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        yield ast.unparse(node.target), node.value


def holds_mutable(value: ast.expr) -> bool:
    called = ast.unparse(value.func).split("[")[0].split(".")[-1] if isinstance(value, ast.Call) else ""
    return isinstance(value, MUTABLE) or called in MUTABLE_TYPES


def what_it_changes(node: ast.AST) -> str:
    """What has a part set or deleted, or is asked to change itself; empty for all else."""
    changing = {"append", "extend", "add", "update", "clear", "pop", "popitem", "setdefault", "insert", "remove"}
    is_set = isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del)
    if is_set or (isinstance(node, ast.Attribute) and node.attr in changing):
        assert isinstance(node, ast.Subscript | ast.Attribute)
        return ast.unparse(node.value)
    return ""


def test_a_decision_keeps_nothing_in_its_module_from_one_call_to_the_next() -> None:
    """Whoever looks again holds what serves the next look, and passes it in; `cache` and `lru_cache` hold no facts."""
    folder = ROOT / "console" / "control"
    found = [
        one
        for path in sorted(folder.rglob("*.py"))
        for one in kept_by_the_module(path.relative_to(ROOT), path.read_text(encoding="utf-8"))
    ]
    assert [] == found


def test_what_a_module_keeps_is_recognised() -> None:
    """Proves the net above: each of these would be caught, and a table of constants would not."""
    caught = [
        "_kept: list[int] = []",
        "last = dict[int, str]()",
        "SEEN = {}\ndef f(): SEEN[1] = 2",
        "SEEN: set[int] = set()\ndef f(): SEEN.add(1)",
        "number = 0\ndef f():\n    global number\n    number = 1",
    ]
    assert [1] * len(caught) == [len(list(kept_by_the_module(Path("m.py"), text))) for text in caught]
    assert [] == list(kept_by_the_module(Path("m.py"), "WORDS = {'a': 1}\nMOST = 3\ndef f(): return WORDS['a']"))


def loaded_by(code: str) -> set[str]:
    """Top-level names of all modules that a fresh interpreter has loaded after `code`."""
    script = f"{code}\nimport json, sys\nsys.stderr.write('LOADED' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
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


def test_only_the_engine_and_what_if_compute_with_arrays_and_load_them_when_they_run() -> None:
    computing = {"console.cli.engine", "console.cli.what_if"}
    assert computing == {each for each in modules_of("console.cli") if graph().find_shortest_chain(each, "numpy")}
    assert "numpy" not in loaded_by(f"import {', '.join(sorted(computing))}")


@pytest.mark.skipif(not (ROOT / "console" / "tui").is_dir(), reason="there is no console yet")
def test_the_console_paints_first_and_loads_the_heavy_libraries_later() -> None:
    loaded = loaded_by("import console.__main__, console.tui.app")
    assert "textual" in loaded
    assert set() == loaded & HEAVY
