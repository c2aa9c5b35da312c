"""What the documents say is looked up: links, names of code, tables, arrows, commands, config, exit codes."""

from __future__ import annotations

import ast
import configparser
import importlib
import re
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import SQLModel

from console.cli.commands import COMMANDS, NOUNS
from console.cli.exits import Exit, markdown
from console.cli.main import build_parser, main, with_full_name
from console.config.loading import load_config
from console.domain.schema import estate
from console.failpoints import FAILPOINTS
from console.onboarding.answers import dsn_answer, host_answer
from console.onboarding.config_writer import ConfiguredScheduler, first_config_text
from console.onboarding.schedulers import Machine
from tests import reliability
from tests.faults import FAULTS
from tests.rows import each_row
from tests.test_architecture import ALLOWED_IMPORTS, BELOW_DECISIONS, VOCABULARY

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
STORE = (ROOT / "docs" / "store.md").read_text(encoding="utf-8")
PACKAGES = (
    "cli", "config", "control", "demo", "domain", "engine", "failpoints", "forecast", "onboarding", "store", "text",
    "timing", "tui", "web",
)  # fmt: skip
LONE_FILES = re.compile(r"\.(py|md|toml|svg|sql|sh|db|log|bak)$")


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def fences(text: str, language: str) -> list[str]:
    """The text of every fenced block in that language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def outside_fences(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def ticked(text: str) -> list[str]:
    """Everything between backticks on one line."""
    return re.findall(r"`([^`\n]+)`", outside_fences(text))


# links


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def links(text: str) -> list[str]:
    return re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", outside_fences(text))


@each_row("page", PAGES, ids=named)
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    dead = []
    for link in links(page.read_text(encoding="utf-8")):
        place, _, heading = link.partition("#")
        if re.match(r"[a-z]+:", place):
            continue
        goal = (page.parent / place).resolve() if place else page
        titles = re.findall(r"^#+ (.*)$", goal.read_text(encoding="utf-8"), re.MULTILINE) if goal.is_file() else []
        if not goal.exists() or (heading and heading not in map(anchor, titles)):
            dead.append(link)
    assert [] == dead


def test_the_screenshot_of_the_readme_is_an_image_link() -> None:
    """A broken picture would not be a dead link for the test above if it were written as HTML."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "docs/picture.svg" in links(readme)


@each_row("page", PAGES, ids=named)
def test_every_page_of_the_project_that_is_named_is_there(page: Path) -> None:
    """`docs/x.md`, `tests/y.py` between backticks; a name with a place holder is a pattern."""
    results = [
        term for term in ticked(page.read_text(encoding="utf-8")) if re.match(r"(docs|tests|console|tools)/", term)
    ]
    assert [] == [
        result for result in results if not (ROOT / result).exists() and not re.search(r"[A-Z]{4}|[*… ]", result)
    ]


# code


def resolve(name: str) -> Any:
    """The module or the attribute of that dotted name. AttributeError or ImportError when there is none."""
    parts = name.split(".")
    full = parts if parts[0] == "connectors" else ["console", *parts]
    for length in range(len(full), 0, -1):
        try:
            result: Any = importlib.import_module(".".join(full[:length]))
        except ModuleNotFoundError:
            continue
        for part in full[length:]:
            result = getattr(result, part)
        return result
    raise ImportError(name)


def code_names(text: str) -> set[str]:
    """Dotted names that begin with a package: `engine.polling.poller`; not failpoints and files."""
    texts = {term.removesuffix("()") for term in ticked(text)}
    pattern = re.compile(rf"({'|'.join(PACKAGES)}|connectors)(\.\w+)+")
    return {text for text in texts if pattern.fullmatch(text) and not LONE_FILES.search(text)} - {*FAILPOINTS}


def unresolved(names: Iterable[str]) -> list[str]:
    missing = []
    for name in sorted(names):
        try:
            resolve(name)
        except (ImportError, AttributeError):
            missing.append(name)
    return missing


CLASS_NAME = re.compile(r"^ *class (\w+)", re.MULTILINE)
TICKED_NAME = re.compile(r"`([A-Za-z_]\w*(?:\.\w+)+)(?:\(\))?`")


def docstring_names(source: str) -> set[str]:
    """Dotted names in backticks in strings that document: of modules, classes, functions and fields."""
    if not TICKED_NAME.search(source):
        return set()
    strings = [
        node.value.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]
    return {name for text in strings for name in TICKED_NAME.findall(text)}


def stale_names(sources: Mapping[str, str]) -> list[str]:
    """Names in docstrings that are of our packages, of a class (`Preview.plan`) or of a constant (`asker.SECONDS`), and
    that the code does not define. `sources`: path -> text."""
    named = [(path, name) for path, source in sources.items() for name in docstring_names(source)]
    owners = {name.split(".")[-2] for _, name in named}
    defined: dict[str, set[str]] = {}
    for path, source in sources.items():
        module = Path(path).stem
        if owners.isdisjoint({module, *CLASS_NAME.findall(source)}):
            continue  # most files: to parse them all takes seconds
        nodes = list(ast.walk(ast.parse(source)))
        if module in owners:
            defined.setdefault(module, set()).update(bound_names(nodes))
        for node in nodes:
            if isinstance(node, ast.ClassDef) and node.name in owners:
                defined.setdefault(node.name, set()).update(bound_names(ast.walk(node)))
    missing = []
    for path, name in named:
        owner, attribute = name.split(".")[-2:]
        if re.match(rf"({'|'.join(PACKAGES)}|connectors|console)\.", name) and not LONE_FILES.search(name):
            missing += [f"{path}: {name}"] * bool(unresolved([name.removeprefix("console.")]))
        elif name.count(".") == 1 and (owner[0].isupper() or attribute.isupper()):
            missing += [f"{path}: {name}"] * (attribute not in defined.get(owner, ()))
    return sorted(missing)


def bound_names(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Names that the nodes of a module or a class define, also instance attributes and what is within functions."""
    for node in nodes:
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name
            case ast.Name(ctx=ast.Store()):
                yield node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr


@pytest.mark.deep
def test_every_name_of_the_code_in_a_docstring_exists() -> None:
    sources = {
        str(path): path.read_text(encoding="utf-8")
        for top in ("console", "connectors")
        for path in sorted((ROOT / top).rglob("*.py"))
    }
    assert [] == stale_names(sources)


def test_a_stale_name_in_a_docstring_is_recognized() -> None:
    missing = '''"""`Preview.gone`, `asker.SECONDS`, `store.nothing_here`; not `Preview.plan`, `row.field`."""'''
    preview = "class Preview:\n    plan: int = 0\n"
    expected = ["a.py: Preview.gone", "a.py: asker.SECONDS", "a.py: store.nothing_here"]
    assert expected == stale_names({"a.py": missing, "b.py": preview})


def test_every_module_that_the_architecture_names_exists() -> None:
    names = code_names(ARCHITECTURE)
    assert len(names) > 60
    assert [] == unresolved(names | code_names(STORE))


def test_every_place_of_the_grid_exists() -> None:
    header, *contexts = rows(section(ARCHITECTURE, "The grid"), head=True)
    packages = [ticked(cell)[0] for cell in header[1:]]
    places = [
        f"{package}.{name}"
        for _, *cells in contexts
        for package, cell in zip(packages, cells, strict=True)
        for name in ticked(cell)
    ]
    assert len(places) > 50
    assert [] == unresolved(places)


def test_the_architecture_fits_ten_kilobytes() -> None:
    """So that a newcomer reads all of it."""
    assert len(ARCHITECTURE.encode()) <= 10 * 1024


def test_a_name_that_does_not_exist_is_found_missing() -> None:
    assert ["engine.nowhere.run", "engine.polling.poller.Poller.poll_twice"] == unresolved(
        ["engine.polling.poller.Poller.poll_twice", "engine.nowhere.run"]
    )


def section(page: str, title: str) -> str:
    return page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(text: str, *, head: bool = False) -> list[list[str]]:
    """The cells of a table's rows."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[:1] * head + lines[2:]]


def test_every_table_of_the_store_has_its_reason_and_no_other_is_named() -> None:
    entries = [(ticked(first)[0], why) for first, why in rows(section(STORE, "Tables of the store"))]
    assert estate.Run.__tablename__ in SQLModel.metadata.tables
    assert sorted(SQLModel.metadata.tables) == sorted(name for name, _ in entries)
    assert [] == [name for name, why in entries if len(why) < 15]


def test_the_table_of_imports_is_the_one_that_is_tested() -> None:
    groups = {"*base*": VOCABULARY, "*estate*": BELOW_DECISIONS}
    documented: dict[str, set[str]] = {}
    for packages, may_import in rows(section(ARCHITECTURE, "Imports")):
        names = {name for group, members in groups.items() if group in may_import for name in members}
        names |= {full_name(name) for name in ticked(may_import)}
        documented |= {full_name(package): names for package in ticked(packages)}
    assert {package: set(names) for package, names in ALLOWED_IMPORTS.items()} == documented


def full_name(name: str) -> str:
    return name if name.startswith("connectors") else f"console.{name}"


def test_every_failpoint_is_documented_once() -> None:
    assert sorted(FAILPOINTS) == sorted(
        term for _, names in rows(section(STORE, "Failpoints")) for term in ticked(names)
    )


# commands


def commands(text: str) -> set[str]:
    """What is typed as `headway …`, in code blocks for a shell and between backticks."""
    lines = [line for block in fences(text, "bash") for line in block.splitlines()]
    lines += ticked(text)
    results = set()
    for line in lines:
        code = line.partition("#")[0].strip().removeprefix("$ ").removeprefix(".venv/bin/").partition(" | ")[0].strip()
        if code == "headway" or re.match(r"headway (?!ALL=)", code):  # (a rule of sudoers)
            results.add(re.sub(r"( 2?> ?\S+)?( &)?$", "", code))
    return results


def parsed(typed: str) -> str:
    """The command's name, after its words went through the real parser; SystemExit when they do not.

    A bare name may stand without its required arguments.
    """
    job = re.sub(r"\[[^\]]*\]|[…\]\[]", "", typed).split()[1:]
    while job and job[0] in ("--config", "--store"):
        del job[:2]
    job = with_full_name(job)
    name = next((term for term in job if not term.startswith("-")), None)
    if name is not None and name not in COMMANDS and name not in NOUNS:
        raise SystemExit(f"no command {name}")
    if name is not None and job != [name]:
        build_parser(name).parse_args(job)
    return name or "console"


@each_row("page", PAGES, ids=named)
def test_every_command_that_a_page_names_is_one(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = []
    for command in sorted(commands(page.read_text(encoding="utf-8"))):
        try:
            parsed(command)
        except SystemExit:
            wrong.append(command)
    capsys.readouterr()
    assert [] == wrong


def test_the_readme_shows_the_way_from_check_to_console() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {"check", "engine", "console"} <= {parsed(command) for command in commands(readme)}


def test_the_page_of_uninstalling_names_what_the_grants_make(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8").partition("## Uninstall")[2]
    (tmp_path / "key.pub").write_text("ssh-ed25519 AAAA of-headway\n")
    assert Exit.OK == main(["connector", "grants", "cron", "--key", str(tmp_path / "key.pub"), "--user", "etl"])
    script = capsys.readouterr().out
    made = {*re.findall(r"/etc/sudoers\.d/\w+|/usr/local/bin/headway-sh\b|SHELL=/\S+headway-sh", script)}
    made |= {*re.findall(r"^SPOOL=(\S+)", script, re.MULTILINE)}
    assert 4 == len(made)
    assert Exit.OK == main(["connector", "grants", "pg_cron"])
    script = capsys.readouterr().out
    roles = re.findall(r"CREATE ROLE (\w+) NOLOGIN", script)
    policies = [f"DROP {policy};" for policy in re.findall(r"CREATE (POLICY \w+ ON [\w.]+)", script)]
    schemas = [f"DROP SCHEMA {schema} " for schema in re.findall(r"CREATE SCHEMA IF NOT EXISTS (\w+)", script)]
    assert (2, 2, 1) == (len(roles), len(policies), len(schemas))
    assert [] == [name for name in (*made, *roles, *policies, *schemas) if name not in page]


def test_the_unit_of_the_examples_starts_the_engine() -> None:
    unit = configparser.ConfigParser()
    unit.read(ROOT / "examples" / "headway.service")
    path, _, text = unit["Service"]["ExecStart"].partition(" ")
    assert path.endswith("/.venv/bin/headway")
    assert "engine" == parsed(f"headway {text}")


def test_every_make_target_that_a_page_names_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    typed = re.compile(r"(?:`|^)make ([a-z-]+)", re.MULTILINE)
    named_ones = {text for page in PAGES for text in typed.findall(page.read_text(encoding="utf-8"))}
    assert {"run", "test"} <= named_ones
    assert set() == named_ones - targets


# config


def test_the_config_of_the_readme_loads_behind_what_its_init_writes(tmp_path: Path) -> None:
    [text] = fences((ROOT / "README.md").read_text(encoding="utf-8"), "toml")
    machine = Machine(tmp_path, {})
    systems = [host_answer(machine, "db07"), dsn_answer(machine, "postgresql://headway@dwh/ops", {"env": "DWH_DSN"})]
    head = first_config_text("x", "x", datetime.now(UTC), [ConfiguredScheduler(scheduler) for scheduler in systems])
    file = tmp_path / "headway.toml"
    file.write_text(head + text, encoding="utf-8")
    config = load_config(file)
    assert {"cron", "pg_cron"} == {system.settings.kind for system in config.systems.values()}
    assert len(config.services) == len(config.dependencies) == 1


@each_row("page", sorted((ROOT / "docs" / "connectors").glob("*.md")), ids=named)
def test_the_config_of_a_connectors_page_loads(page: Path, tmp_path: Path) -> None:
    """Every commented-out choice stays out; the rest must be accepted unchanged."""
    (tmp_path / "night.json.gz").write_bytes((ROOT / "console" / "demo" / "night.json.gz").read_bytes())
    text = page.read_text(encoding="utf-8").replace("/path/to/", f"{tmp_path}/")
    blocks = [block for block in fences(text, "toml") if "[systems." in block]
    assert blocks
    for number, block in enumerate(blocks):
        tomllib.loads(block)
        file = tmp_path / f"{number}.toml"
        file.write_text(block, encoding="utf-8")
        load_config(file)


# what is generated


def test_the_page_of_exit_codes_is_made_from_the_table() -> None:
    assert markdown() == (ROOT / "docs" / "exit-codes.md").read_text(encoding="utf-8")
    assert [code.value for code in Exit] == [int(number) for number in re.findall(r"^\| (\d+) ", markdown(), re.M)]


def test_the_page_of_reliability_is_made_from_its_table_and_every_test_that_it_names_exists() -> None:
    named_ones = [name for fault in FAULTS.values() for name in fault.tests]
    assert [] == [name for name in named_ones if name not in reliability.places()]
    assert list(range(1, len(FAULTS) + 1)) == list(FAULTS)
    assert reliability.page() == reliability.PAGE.read_text(encoding="utf-8")


LOST = ("tests/pty/test_lost.py", "tests/lab/test_console_store_real.py")
"""Where engine and store are taken away under an open screen."""


def test_every_test_of_a_fault_is_in_the_table_of_faults() -> None:
    """One that bears its number, in its row; one of a lost engine or store, in some row."""
    numbered = [(int(match[1]), name) for name in reliability.places() if (match := re.match(r"test_f(\d\d)_", name))]
    assert [] == [name for number, name in numbered if name not in FAULTS[number].tests]
    listed = {name for fault in FAULTS.values() for name in fault.tests}
    of_ways = {"test_every_screen_has_a_way"}
    assert of_ways == {name for name, place in reliability.places().items() if place in LOST} - listed


# what must never stand in a page

EXAMPLE_HOSTS = re.compile(r"(.*\.)?(example|example\.(com|org)|internal)|.*….*|\w+|127\.0\.0\.1|www\.w3\.org")
"""Hosts that a page may name: those that nobody has, bare names, and the name space of SVG."""


def machine_folders() -> set[str]:
    """Folders of the machine that this test runs on, and homes of people."""
    return {str(ROOT), str(Path.home()), tempfile.gettempdir(), "/home/"} - {"/"}


@each_row("page", [*PAGES, ROOT / "config.example.toml", ROOT / "docs" / "picture.svg"], ids=named)
def test_no_page_names_a_folder_of_one_machine(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [] == [folder for folder in machine_folders() if folder in text]


@each_row("page", [*PAGES, ROOT / "config.example.toml", ROOT / "docs" / "picture.svg"], ids=named)
def test_every_address_in_a_page_is_reserved_for_examples(page: Path) -> None:
    """So no page sends anybody to an index of packages, and the picture fetches nothing from elsewhere."""
    text = re.sub(r"<!--.*?-->", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    matches = re.findall(r"\bhttps?://(?:[^/\s@]*@)?([\w.…-]+)", text)
    assert [] == [host for host in matches if not EXAMPLE_HOSTS.fullmatch(host)]


def test_the_screenshot_shows_the_demo_night_and_fetches_no_font() -> None:
    svg = (ROOT / "docs" / "picture.svg").read_text(encoding="utf-8")
    assert "@font-face" not in svg
    assert [] == [text for text in ("extract_orders", "Supply", "04:07") if text not in svg]


def test_a_decision_is_dated_and_says_situation_choice_and_what_would_change_it() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert len(pages) >= 10
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert re.fullmatch(r"\d{4}-\d\d-\d\d-[a-z0-9-]+\.md", page.name)
        assert page.name[:10] in text.splitlines()[0]
        missing = [
            term for term in ("**Situation.**", "**Choice**", "**What would change our mind.**") if term not in text
        ]
        assert ([], page.name) == (missing, page.name)
