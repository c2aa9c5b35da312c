"""The first config: it loads, it says why, hostile names stay text, and its file is whole or not there."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.config.loading import load_config
from console.onboarding.config_writer import (
    ConfiguredScheduler,
    backup_path,
    default_route_text,
    extended_config_text,
    first_config_text,
    replace_if_unchanged,
    replace_with_backup,
    toml,
    write_new,
)
from console.onboarding.local_files import aws, system_name
from console.onboarding.schedulers import DetectedScheduler, WatchReadiness
from tests.onboarding.homes import SECRET, machine
from tests.rows import each_row

NOW = datetime(2026, 11, 20, 3, 12, tzinfo=UTC)


def test_an_accepted_candidate_is_a_system_and_the_rest_a_comment_with_its_reason(tmp_path: Path) -> None:
    default, prod, *_ = aws(machine(tmp_path))
    text = first_config_text(
        "vm", "vm", NOW, [ConfiguredScheduler(default), ConfiguredScheduler(prod, "refused; the token has expired")]
    )
    path = tmp_path / "headway.toml"
    path.write_text(text)
    config = load_config(path)
    assert (["aws-default"], "shadow") == (list(config.systems), config.estate.starts_in)
    assert "# Not watched: refused; the token has expired." in text
    assert "# [systems.aws-prod]" in text
    assert SECRET not in text


def test_a_reason_appears_once(tmp_path: Path) -> None:
    message = "no cron daemon runs on this machine"
    scheduler = DetectedScheduler(
        "cron", "crontabs", "/etc/crontab", WatchReadiness.NEEDS, message, 3, "cron", "cron", {}
    )
    text = first_config_text("vm", "vm", NOW, [ConfiguredScheduler(scheduler, message)])
    assert (1, True) == (text.count(message), "# Not watched.\n# To watch it" in text)


def test_every_fault_has_its_line_and_what_is_to_be_copied_is_not_folded() -> None:
    rule = (
        f"headway ALL=(root) NOPASSWD: {', '.join(f'/usr/bin/cat /var/spool/cron/crontabs/user{n}' for n in range(4))}"
    )
    faults = f"denied: crontabs. Fix: add to sudoers: {rule}; or name the users: users = [...]\ndown. Fix: start it"
    system = DetectedScheduler("cron", "crontabs", "/etc", WatchReadiness.NEEDS, faults, 3, "cron", "cron", {})
    text = first_config_text("vm", "vm", NOW, [ConfiguredScheduler(system, faults)])
    expected = ["denied: crontabs. Fix: add to sudoers:", f"    {rule}", "or name the users: users = [...]"]
    assert "".join(f"# {line}\n" for line in [*expected, "down. Fix:", "    start it"]) in text


def test_the_comment_becomes_a_system_when_uncommented(tmp_path: Path) -> None:
    _, prod, *_ = aws(machine(tmp_path))
    text = first_config_text("vm", "vm", NOW, [ConfiguredScheduler(prod, "not now")])
    block = text[text.index("# [systems.aws-prod]") :].split("\n\n")[0]
    path = tmp_path / "headway.toml"
    path.write_text("\n".join(line.removeprefix("# ") for line in block.splitlines()))
    assert ["aws-prod"] == list(load_config(path).systems)


@given(st.text(), st.text())
def test_no_text_from_outside_becomes_more_than_a_comment_or_a_string(title: str, value: str) -> None:
    scheduler = DetectedScheduler(
        "k", title, value, WatchReadiness.ON_CONSENT, title, 3, system_name(title), "cron", {"key": value, "a": [value]}
    )
    text = first_config_text(
        title, value, NOW, [ConfiguredScheduler(scheduler), ConfiguredScheduler(scheduler, f"not: {title}")]
    )
    read = tomllib.loads(text)
    assert {"estate", "systems"} == set(read)
    assert {"kind", "key", "a"} == set(next(iter(read["systems"].values())))


@each_row("value", ["a", True, 3, ["a", {"b": 1}], {"env": "NAME"}, 'quote " and \\ and \u20ac'])
def test_a_value_is_read_back_as_it_was(value: object) -> None:
    assert value == tomllib.loads(f"v = {toml(value)}")["v"]


def test_a_file_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "headway.toml"
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        write_new(path, "ours")
    assert ("mine", ["headway.toml"]) == (path.read_text(), [path.name for path in tmp_path.iterdir()])


def test_a_file_that_is_given_up_stays_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "headway.toml"
    path.write_text("mine")
    replace_with_backup(path, tmp_path / "kept", "ours")
    assert ("ours", "mine") == (path.read_text(), (tmp_path / "kept").read_text())


def test_every_file_that_is_given_up_stays(tmp_path: Path) -> None:
    """Who starts again twice does not lose what a person wrote first."""
    path = tmp_path / "headway.toml"
    path.write_text("mine")
    for text in ("first", "second"):
        replace_with_backup(path, backup_path(path), text)
    paths = [tmp_path / f"headway.toml.before-init{number}" for number in ("", "-2")]
    assert ["second", "mine", "first"] == [candidate.read_text() for candidate in (path, *paths)]
    with pytest.raises(FileExistsError):
        replace_with_backup(path, paths[0], "third")
    assert ("second", "mine") == (path.read_text(), paths[0].read_text())


def test_what_was_edited_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "headway.toml"
    write_new(path, "ours")
    assert replace_if_unchanged(path, "ours and a service", "ours")
    path.write_text("edited")
    assert not replace_if_unchanged(path, "ours and another", "ours and a service")
    assert ("edited", ["headway.toml"]) == (path.read_text(), [path.name for path in tmp_path.iterdir()])


def test_who_is_interrupted_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "headway.toml"
    for step in ("os.fsync", "os.link"):
        with monkeypatch.context() as patch:
            patch.setattr(step, interrupted)
            with pytest.raises(KeyboardInterrupt):
                write_new(path, "ours")
        assert [] == list(tmp_path.iterdir())


def test_an_added_system_replaces_its_own_comment_and_nothing_else(tmp_path: Path) -> None:
    default, prod, *_ = aws(machine(tmp_path))
    first = first_config_text(
        "vm", "vm", NOW, [ConfiguredScheduler(default, "refused"), ConfiguredScheduler(prod, "no")]
    )
    text = default_route_text(extended_config_text(first, [ConfiguredScheduler(default)], {"env": "ONCALL_MAIL"}))
    assert {default.name} == tomllib.loads(text)["systems"].keys()
    assert (1, 1) == (text.count(f"[systems.{default.name}]"), text.count(f"# [systems.{prod.name}]"))
    own = first_config_text("vm", "vm", NOW, [ConfiguredScheduler(default, "refused")]).splitlines()
    assert [] == [line for line in first.splitlines() if line not in text and line not in own]
    assert "oncall" == tomllib.loads(text)["alerts"]["default_route"]
    assert text == extended_config_text(text, [], None)


def test_a_person_s_comments_around_the_comment_of_init_stay(tmp_path: Path) -> None:
    default, *_ = aws(machine(tmp_path))
    first = first_config_text("vm", "vm", NOW, [ConfiguredScheduler(default, "refused")])
    [title] = [line for line in first.splitlines() if line.startswith("# ") and "(found in" in line]
    own = "# note: call Anna first\n# [systems.old]\n# kind = 'cron'\n# was on db07\n"
    text = extended_config_text(first.replace(title, own + title), [ConfiguredScheduler(default)], None)
    assert own in text
    assert (1, 0) == (text.count(f"[systems.{default.name}]"), text.count("To watch it remove the #"))


@pytest.mark.parametrize("header", ["[alerts]", "[alerts]  # quiet"])
def test_a_route_becomes_the_default_of_alerts_that_are_set_already(header: str) -> None:
    text = f'[estate]\nname = "x"\n\n{header}\nrepeat_after = "1h"\n'
    config = tomllib.loads(default_route_text(extended_config_text(text, [], {"env": "ONCALL_MAIL"})))
    assert {"default_route": "oncall", "repeat_after": "1h"} == config["alerts"]
    assert {"oncall": {"urls": [{"env": "ONCALL_MAIL"}]}} == config["routes"]


@pytest.mark.parametrize("mode", [0o640, 0o600])
def test_a_replaced_file_keeps_its_mode_and_a_link_stays_one(tmp_path: Path, mode: int) -> None:
    path, link = tmp_path / "git/headway.toml", tmp_path / "headway.toml"
    path.parent.mkdir()
    write_new(path, "mine")
    path.chmod(mode)
    link.symlink_to(path)
    replace_with_backup(link, backup_path(link), "ours")
    assert replace_if_unchanged(link, "ours and a service", "ours")
    assert (True, mode) == (link.is_symlink(), path.stat().st_mode & 0o777)
    assert ("ours and a service", "mine") == (path.read_text(), (tmp_path / "git/headway.toml.before-init").read_text())


@given(st.text(alphabet='#[]systems.\n =a"', max_size=60), st.sampled_from(["etl", "a.b", "("]))
def test_whatever_a_person_wrote_stays(own: str, name: str) -> None:
    """Only a comment that begins as one of init's does is replaced."""
    system = DetectedScheduler("x", "x", "x", WatchReadiness.NOW, "", None, name, "cron", {})
    assert extended_config_text(own, [ConfiguredScheduler(system)], None).startswith(own.rstrip())
