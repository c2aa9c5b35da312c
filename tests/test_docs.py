"""The docs are checked against the code. Each test reads every page and lists all faults, each as "page: fault"."""

from __future__ import annotations

import pkgutil
import re
import tempfile
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import redirect_stderr
from datetime import UTC, datetime
from difflib import unified_diff
from io import StringIO
from pathlib import Path

import pytest

from console.cli import exits
from console.cli.commands import COMMANDS, NOUNS
from console.cli.main import build_parser, main, with_full_name
from console.config.document import ConfigFaults
from console.config.loading import load_config
from console.domain.schema import estate
from console.failpoints import FAILPOINTS
from console.onboarding.answers import dsn_answer, host_answer
from console.onboarding.config_writer import ConfiguredScheduler, first_config_text
from console.onboarding.schedulers import Machine
from tests import reliability
from tests.faults import FAULTS
from tests.test_architecture import ALLOWED_IMPORTS, BELOW_DECISIONS, VOCABULARY

ROOT = Path(__file__).parents[1]


def read(*paths: Path) -> dict[str, str]:
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


PAGES = read(ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))
ARCHITECTURE, STORE = PAGES["docs/architecture.md"], PAGES["docs/store.md"]


def report(faults: Iterable[str]) -> None:
    """Fails with every fault, one a line."""
    if lines := list(faults):
        pytest.fail("\n".join(lines), pytrace=False)


def fences(text: str, language: str) -> list[str]:
    """The text of every fenced block in that language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def outside_fences(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def ticked(text: str) -> list[str]:
    """Everything between backticks on one line."""
    return re.findall(r"`([^`\n]+)`", outside_fences(text))


def section(page: str, title: str) -> str:
    return page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def table(page: str, title: str) -> list[list[str]]:
    """The cells of the table in that section, by row; the header is the first."""
    lines = [line for line in section(page, title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[:1] + lines[2:]]


def link_faults(pages: Mapping[str, str]) -> Iterator[str]:
    """Links to a file or a heading that does not exist, and files of the project in backticks that do not."""
    for page, text in pages.items():
        for link in re.findall(r"""(?:\[[^\]]*\]\(|(?:src|href)=["'])(?![a-z]+:)([^)\s"']+)""", outside_fences(text)):
            target, _, heading = link.partition("#")
            path = (ROOT / page).parent / target
            if target and not path.exists():
                yield f"{page}: the link {target} leads nowhere"
            elif heading:
                titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8") if target else text, re.MULTILINE)
                if heading not in (re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles):
                    yield f"{page}: {target or 'the page'} has no heading #{heading}"
        for name in ticked(text):
            is_path = re.match(r"(docs|tests|console|tools)/", name) and not re.search(r"[A-Z]{4}|[*… ]", name)
            if is_path and not (ROOT / name).exists():
                yield f"{page}: there is no file {name}"


def test_every_link_leads_to_a_file_and_a_heading_and_every_named_file_exists() -> None:
    report(link_faults(PAGES))


PACKAGES = [path.stem for path in (ROOT / "console").iterdir() if not path.name.startswith("_")]
CODE_NAME = re.compile(rf"(?:console|connectors|(?:console\.)?(?:{'|'.join(PACKAGES)}))(?:\.\w+)+")
FILE_NAME = re.compile(r"\.(py|md|toml|svg|sql|sh|db|log|bak)$")


def full_name(name: str) -> str:
    return name if name.startswith(("connectors", "console.")) else f"console.{name}"


def is_missing(name: str) -> bool:
    """True for a dotted name that begins with a package and does not exist; not for one of a failpoint or a file."""
    is_code = CODE_NAME.fullmatch(name) and not FILE_NAME.search(name) and name not in FAILPOINTS
    path = ROOT.joinpath(*full_name(name).split("."))
    if not is_code or path.is_dir() or path.with_suffix(".py").is_file():
        return False  # most names are modules: to import them all takes a second
    try:
        pkgutil.resolve_name(full_name(name))
    except (ImportError, AttributeError):
        return True
    return False


def name_faults(pages: Mapping[str, str]) -> Iterator[str]:
    """Modules, classes and functions in backticks that do not exist."""
    for page, text in pages.items():
        names = {name.removesuffix("()") for name in ticked(text)}
        yield from (f"{page}: there is no {name}" for name in sorted(names) if is_missing(name))


def test_every_module_class_and_function_that_a_page_names_exists() -> None:
    header, *contexts = table(ARCHITECTURE, "The grid")
    faults = list(name_faults(PAGES))
    for _, *cells in contexts:
        for package, cell in zip(header[1:], cells, strict=True):
            names = [f"{package.strip('`')}.{name}" for name in ticked(cell)]
            faults += [f"docs/architecture.md: there is no {name}" for name in names if is_missing(name)]
    report(faults)


def docstring_faults(sources: Mapping[str, str]) -> Iterator[str]:
    """Names in docstrings that do not exist: of a package, a class (`Preview.plan`) or a constant (`asker.SECONDS`)."""
    homes = defaultdict[str, list[str]](list)
    for path, source in sources.items():
        for owner in {Path(path).stem, *re.findall(r"class (\w+)[:(]", source)}:
            homes[owner].append(source)
    for path, source in sources.items():
        pieces = source.split('"""')
        strings = zip(pieces[::2], pieces[1::2], strict=False)
        documents = "\n".join(text for code, text in strings if not code.rpartition("\n")[2].strip())
        for name in sorted({*re.findall(r"`([A-Za-z_]\w*(?:\.\w+)+)(?:\(\))?`", documents)}):
            owner, attribute = name.split(".")[-2:]
            is_own = name.count(".") == 1 and (owner[0].isupper() or attribute.isupper())
            if is_missing(name) or (is_own and not any(defines(text, attribute) for text in homes[owner])):
                yield f"{path}: there is no {name}"


def defines(source: str, name: str) -> bool:
    """True when the source has a class, a function, a variable, a field or an attribute of that name."""
    binding = rf"^ *(?:(?:async )?(?:def|class) {name}\b|(?:\w+, )*(?:self\.)?{name}(?:: | = |, \w))"
    return bool(re.search(binding, source, re.MULTILINE))


def test_every_name_of_the_code_in_a_docstring_exists() -> None:
    paths = [*(ROOT / "console").rglob("*.py"), *(ROOT / "connectors").rglob("*.py")]
    report(docstring_faults(read(*sorted(paths))))


def test_the_architecture_lists_the_imports_that_are_tested() -> None:
    groups = {"*base*": VOCABULARY, "*estate*": BELOW_DECISIONS}
    documented = set()
    for packages, may_import in table(ARCHITECTURE, "Imports")[1:]:
        names = {name for group, members in groups.items() if group in may_import for name in members}
        names |= {full_name(name) for name in ticked(may_import)}
        documented |= {(full_name(package), name) for package in ticked(packages) for name in names or {"nothing"}}
    tested = {(package, name) for package, names in ALLOWED_IMPORTS.items() for name in names or {"nothing"}}
    faults = [f"{package} does not import {name}" for package, name in sorted(documented - tested)]
    faults += [f"{package} may import {name} too" for package, name in sorted(tested - documented)]
    report(f"docs/architecture.md: {fault}" for fault in faults)


def test_the_page_of_the_store_describes_each_table_and_each_failpoint_once() -> None:
    faults = []
    for title, column, names in ("Tables of the store", 0, estate.Run.metadata.tables), ("Failpoints", 1, FAILPOINTS):
        entries = table(STORE, title)[1:]
        listed = [name for cells in entries for name in ticked(cells[column])]
        faults += [f"{name} is missing" for name in names if name not in listed]
        faults += [f"{name} does not exist" for name in listed if name not in names]
        faults += [f"{name} is listed twice" for name in {*listed} if listed.count(name) > 1]
        faults += [f"{cells[0]} is not described" for cells in entries if not all(cells)]
    report(f"docs/store.md: {fault}" for fault in faults)


def commands(text: str) -> set[str]:
    """What is typed as `headway …`, in code blocks for a shell and between backticks."""
    results = set()
    for line in [*"\n".join(fences(text, "bash")).splitlines(), *ticked(text)]:
        code = line.partition("#")[0].strip().removeprefix("$ ").removeprefix(".venv/bin/").partition(" | ")[0].strip()
        if code == "headway" or re.match(r"headway (?!ALL=)", code):  # (a rule of sudoers)
            results.add(re.sub(r"( 2?> ?\S+)?( &)?$", "", code))
    return results


def parse(typed: str) -> None:
    """Has the real parser read the words; SystemExit when it refuses. A bare name may lack its required arguments."""
    words = with_full_name(re.sub(r"^headway( --(config|store) \S+)*|\[[^\]]*\]|[…\]\[]", "", typed).split())
    name = next((word for word in words if not word.startswith("-")), None)
    if name is not None and name not in COMMANDS and (name not in NOUNS or words != [name]):
        raise SystemExit(f"no command {name}")
    if name is not None and words != [name]:
        build_parser(name).parse_args(words)


def command_faults(pages: Mapping[str, str]) -> Iterator[str]:
    """Commands that the parser refuses, and targets that the Makefile lacks."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page, text in pages.items():
        typed = re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)
        yield from (f"{page}: make {target}: not in the Makefile" for target in typed if target not in targets)
        for command in sorted(commands(text)):
            try:
                with redirect_stderr(StringIO()):
                    parse(command)
            except SystemExit as error:
                yield f"{page}: {command}: {getattr(error, 'message', error)}"


def test_every_command_and_make_target_that_a_page_names_is_accepted() -> None:
    """The unit of the examples is read as a page."""
    unit = (ROOT / "examples" / "headway.service").read_text(encoding="utf-8")
    report(command_faults(PAGES | {"examples/headway.service": re.sub(r"(?m)^ExecStart=/\S+/(.*)$", r"`\1`", unit)}))


def test_the_page_of_uninstalling_names_what_grants_make(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "key.pub").write_text("ssh-ed25519 AAAA of-headway\n")
    for options in (["cron", "--key", str(tmp_path / "key.pub"), "--user", "etl"], ["pg_cron"]):
        assert exits.Exit.OK == main(["connector", "grants", *options])
    script = capsys.readouterr().out
    files = r"/etc/sudoers\.d/\w+|/usr/local/bin/headway-sh\b|SHELL=/\S+headway-sh|(?<=^SPOOL=)\S+"
    names = {*re.findall(rf"{files}|(?<=CREATE ROLE )\w+(?= NOLOGIN)", script, re.MULTILINE)}
    names |= {f"DROP {policy};" for policy in re.findall(r"CREATE (POLICY \w+ ON [\w.]+)", script)}
    names |= {f"DROP SCHEMA {schema} " for schema in re.findall(r"CREATE SCHEMA IF NOT EXISTS (\w+)", script)}
    assert 4 + 2 + 2 + 1 == len(names)
    missing = sorted(name for name in names if name not in section(PAGES["docs/install.md"], "Uninstall"))
    report(f"docs/install.md: Uninstall lacks {name}" for name in missing)


def config_faults(pages: Mapping[str, str], folder: Path, head: str = "") -> Iterator[str]:
    """TOML that cannot be read, and configs of a system that do not load. `head`: what stands above those of README."""
    (folder / "night.json.gz").write_bytes((ROOT / "console" / "demo" / "night.json.gz").read_bytes())
    file = folder / "headway.toml"
    for page, text in pages.items():
        blocks = fences(text.replace("/path/to/", f"{folder}/"), "toml")
        if page.startswith("docs/connectors/") and not any("[systems." in block for block in blocks):
            yield f"{page}: shows no config"
        for number, block in enumerate(blocks, 1):
            try:
                tomllib.loads(block)
                if "[systems." in block or page == "README.md":
                    file.write_text(head * (page == "README.md") + block, encoding="utf-8")
                    load_config(file)
            except (tomllib.TOMLDecodeError, ConfigFaults) as error:
                yield from (
                    f"{page}: config {number}: {line}" for line in str(error).replace(str(file), file.name).splitlines()
                )


def test_the_config_in_every_page_loads(tmp_path: Path) -> None:
    """That of the README loads below what its `headway init` writes; commented-out choices stay out."""
    machine = Machine(tmp_path, {})
    systems = [host_answer(machine, "db07"), dsn_answer(machine, "postgresql://headway@dwh/ops", {"env": "DWH_DSN"})]
    head = first_config_text("x", "x", datetime.now(UTC), [ConfiguredScheduler(scheduler) for scheduler in systems])
    report(config_faults(PAGES, tmp_path, head))


def test_generated_pages_are_up_to_date() -> None:
    """Each fault is a line that its module, run with `python -m`, would write (+) or remove (-)."""
    faults = []
    generated = {"docs/exit-codes.md": exits.markdown(), "docs/reliability.md": reliability.page()}
    for page, text in generated.items():
        lines = [*unified_diff(PAGES[page].splitlines(), text.splitlines(), "page", "code", lineterm="")]
        faults += [f"{page}: {line}" for line in lines[2:] if line[0] in "+-"]
    report(faults)


def test_every_fault_lists_tests_that_exist_and_every_test_of_a_fault_is_listed() -> None:
    files = reliability.places()
    listed = {(number, name) for number, fault in FAULTS.items() for name in fault.tests}
    faults = [f"{number}: there is no {name}" for number, name in sorted(listed) if name not in files]
    numbered = {(int(match[1]), name) for name in files if (match := re.match(r"test_f(\d\d)_", name))}
    faults += [f"{number}: {name} is not listed" for number, name in sorted(numbered - listed)]
    report(f"tests/faults.py: {fault}" for fault in faults)


EXAMPLE_HOSTS = re.compile(r"(.*\.)?(example|example\.(com|org)|internal)|.*….*|\w+|127\.0\.0\.1|www\.w3\.org")
"""Hosts that a page may name: those that nobody has, bare names, and the name space of SVG."""


def outside_faults(pages: Mapping[str, str]) -> Iterator[str]:
    """Folders of this machine, homes of people, and hosts that are not reserved for examples, fonts included."""
    folders = {str(ROOT), str(Path.home()), tempfile.gettempdir(), "/home/"} - {"/"}
    for page, text in pages.items():
        yield from (f"{page}: names the folder {folder}" for folder in sorted(folders) if folder in text)
        hosts = re.findall(r"\bhttps?://(?:[^/\s@]*@)?([\w.…-]+)", re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL))
        yield from (f"{page}: names the host {host}" for host in hosts if not EXAMPLE_HOSTS.fullmatch(host))


def test_no_page_names_a_folder_of_one_machine_or_a_real_host() -> None:
    report(outside_faults(PAGES | read(ROOT / "config.example.toml", ROOT / "docs" / "picture.svg")))


def test_each_decision_is_dated_and_complete_and_the_architecture_is_short() -> None:
    """So short that a newcomer reads all of it: ten kilobytes."""
    size = len(ARCHITECTURE.encode())
    faults = [f"docs/architecture.md: has {size} bytes"] * (size > 10 * 1024)
    for page in (page for page in PAGES if page.startswith("docs/decisions/")):
        date = re.match(r"\d{4}-\d\d-\d\d(?=-[a-z0-9-]+\.md$)", Path(page).name)
        if date is None or date[0] not in PAGES[page].splitlines()[0]:
            faults.append(f"{page}: its name and its first line have no date in common")
        parts = ("**Situation.**", "**Choice**", "**What would change our mind.**")
        faults += [f"{page}: lacks {part}" for part in parts if part not in PAGES[page]]
    report(faults)


FAULTY = """
[gone](gone.md) [part](#part) [other](store.md#part) [good](store.md#failpoints) <img src="gone.svg">
`docs/gone.md` `docs/page-NAME.md` `engine.gone.run` `engine.polling.poller.Poller.gone` `engine.polling.poller`
`headway gone` `headway check --gone` `headway check` `make gone` `make test`
http://gone.net http://user@hub.example.com/home/
```toml
[systems.gone]
kind = "gone"
```
"""
DOCSTRING = '"""`Row.gone`, `asker.GONE`, `store.gone`; not `Row.plan`, `row.field`."""\nclass Row:\n    plan = 0\n'


def test_each_scanner_reports_its_faults_and_accepts_the_rest(tmp_path: Path) -> None:
    page = {"docs/page.md": FAULTY}
    faults = [*link_faults(page), *name_faults(page), *command_faults(page), *outside_faults(page)]
    faults += [*config_faults(page, tmp_path), *docstring_faults({"docs/page.md": DOCSTRING})]
    expected = [
        "the link gone.md leads nowhere", "the page has no heading #part", "store.md has no heading #part",
        "the link gone.svg leads nowhere", "there is no file docs/gone.md", "there is no engine.gone.run",
        "there is no engine.polling.poller.Poller.gone", "make gone: not in the Makefile",
        "headway check --gone: unrecognized arguments: --gone", "headway gone: no command gone",
        "names the folder /home/", "names the host gone.net", "config 1: …",
        "there is no Row.gone", "there is no asker.GONE", "there is no store.gone",
    ]  # fmt: skip
    assert [f"docs/page.md: {fault}" for fault in expected] == [re.sub("(config 1: ).*", r"\1…", x) for x in faults]
