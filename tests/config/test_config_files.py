"""A config is made of regular files within limits; the engine and every command read them alike."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time

import pytest

from connectors.sdk.errors import AccessRefused
from connectors.sdk.secrets import SecretRef, SecretStore
from console.config.document import ConfigDocument, ConfigFaults
from console.config.loading import load_config
from console.config.paths import MAX_CONFIG_BYTES, KeyTooLong, NoStore, parse_toml, store_url
from console.config.preferences import read_preferences
from console.config.references import _Names

GOOD = '[systems.x]\nkind = "heartbeat"\n'


def nested(file: Path) -> None:
    file.write_text(f"{GOOD}labels = {'[' * 20_000}{']' * 20_000}\n")


def dotted(file: Path) -> None:
    file.write_text(f"{GOOD}labels = 1\n{'.'.join(['a'] * 30_000)} = 1\n")


def dotted_header(file: Path) -> None:
    file.write_text(f"{GOOD}[{' . '.join(['a', chr(34) * 2] * 15_000)}]\n")


def huge(file: Path) -> None:
    file.write_text(f"{GOOD}#{'x' * MAX_CONFIG_BYTES}\n")


@pytest.mark.parametrize(
    "make, problem",
    [
        (nested, "has tables or lists that are nested too deep"),
        (dotted, "has a key of more than 20 parts"),
        (dotted_header, "has a key of more than 20 parts"),
        (os.mkfifo, "it is not a regular file"),
        (lambda file: file.symlink_to("/dev/zero"), "it is not a regular file"),
        (huge, "it is larger than 8 MiB"),
    ],
    ids=["nested", "dotted", "dotted header", "pipe", "endless", "huge"],
)
def test_a_file_that_cannot_be_a_config_is_named(tmp_path: Path, make: Callable[[Path], None], problem: str) -> None:
    """Each ended every command in a traceback, or hung it."""
    (tmp_path / "a.toml").write_text(GOOD)
    file = tmp_path / "z.toml"
    make(file)
    with pytest.raises(ConfigFaults) as faults:
        load_config(tmp_path)
    assert f"{file}" in str(faults.value)
    assert problem in str(faults.value)
    with pytest.raises(NoStore, match=problem):
        store_url(tmp_path)
    [fault] = read_preferences(file).faults
    assert problem in fault


def test_a_key_of_too_many_parts_is_reported_with_its_line_and_fix(tmp_path: Path) -> None:
    file = tmp_path / "headway.toml"
    file.write_text(f"""{GOOD}[rules.x]\na = {{ {".".join(["b"] * 21)} = 1 }}\n""")
    with pytest.raises(ConfigFaults) as faults:
        load_config(file)
    line = len(file.read_text().splitlines())
    problem = "has a key of more than 20 parts. Fix: shorten it. The rest was not read."
    assert f"{file}:{line}: {problem}" in str(faults.value)
    [fault] = read_preferences(file).faults
    assert fault.startswith(f"{file}:{line}: ")


def test_dots_in_strings_and_comments_and_twenty_parts_are_no_long_key() -> None:
    many = ".".join(["a"] * 30)
    text = f"""# {many}
s = "{many}" # \"{many}
l = '{many}'
m = \"\"\"\\\"\"\" \"\"
{many} = 1
\"\"\"\"\"
n = '''
[{many}]
'''
{".".join(["k"] * 20)} = 1
"{many}".x = [1.5, 2.5]
"""
    assert tomllib.loads(text) == parse_toml(text)
    with pytest.raises(KeyTooLong, match=r"at line 12"):
        parse_toml(f"{text}{many} = 1\n")


@pytest.mark.quiet
def test_thousands_of_faults_are_located_in_linear_time(tmp_path: Path) -> None:
    """Each fault read all lines again: 30,000 took longer than a minute."""
    file = tmp_path / "headway.toml"

    def seconds(count: int) -> float:
        file.write_text("".join(f'[systems.s{number}]\nkind = "heartbeat"\n' for number in range(count)))
        began = process_time()
        with pytest.raises(ConfigFaults) as faults:
            load_config(file)
        assert 2 * count - 1 == faults.value.faults[-1].line
        return process_time() - began

    assert seconds(4_000) < 10 * seconds(1_000)


class Counted(dict[str, object]):
    """Names that count how often all of them are read."""

    walks = 0

    def __iter__(self) -> Iterator[str]:
        self.walks += 1
        return super().__iter__()


@pytest.mark.parametrize("kind", ["system", "service", "route", "calendar", "rota"])
def test_a_declared_name_is_found_without_a_walk_over_all_names(kind: str) -> None:
    """Each reference walked over all names: `headway check` took 108 s for 26,000 systems with services and routes."""
    declared, document = Counted(a={}, b={}), ConfigDocument()
    names = _Names({f"{kind}s": declared, "systems": declared}, document)
    names.check_name(kind, "a", ("jobs", "a/x"))
    names.require_job("b/x", ("jobs", "b/x"))
    assert (0, []) == (declared.walks, document.faults)
    names.check_name(kind, "c", ("jobs", "a/x"))
    names.require_job("c/x", ("jobs", "c/x"))
    assert 2 == len(document.faults)


def test_a_secret_in_a_pipe_is_refused(tmp_path: Path) -> None:
    reference = SecretRef(file=tmp_path / "secret")
    os.mkfifo(tmp_path / "secret", 0o600)
    with pytest.raises(AccessRefused, match="it is not a regular file"):
        SecretStore()(reference)


def test_a_pipe_that_a_setting_names_is_a_fault_of_the_config(tmp_path: Path) -> None:
    """`headway check` waited for a key, a CA file or a kubeconfig in it."""
    os.mkfifo(tmp_path / "kubeconfig", 0o600)
    (tmp_path / "a.toml").write_text(f'{GOOD}\n[systems.k]\nkind = "kubernetes"\nkubeconfig = "kubeconfig"\n')
    with pytest.raises(
        ConfigFaults, match=r"systems\.k\.kubeconfig: .*/kubeconfig is not a regular file\. Fix: name one"
    ):
        load_config(tmp_path / "a.toml")


def test_a_number_that_is_too_long_is_a_fault_of_the_config(tmp_path: Path) -> None:
    """It ended every command in a traceback."""
    (tmp_path / "a.toml").write_text(f"{GOOD}\na = {'9' * 5_000}\n")
    with pytest.raises(ConfigFaults, match=r"has a number that is too long\. Fix: shorten it"):
        load_config(tmp_path / "a.toml")
    with pytest.raises(NoStore, match="digits"):
        store_url(tmp_path / "a.toml")
