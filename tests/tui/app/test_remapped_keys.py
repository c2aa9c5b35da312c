"""Remapped keys: of config, of one person, faults reported with the fix, and everything that shows a key."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from console.config import key_table
from console.config.document import ConfigFaults
from console.config.keymap import action_ids, normalize_key, read_keys, read_layers
from console.config.loading import load_config
from console.config.preferences import PersonalPreferences, effective_preferences
from tests.rows import each_row
from tests.tui.driving import Night, on_the_night

SYSTEM = '[systems.etl]\nkind = "cron"\nhosts = ["db07"]\nkey = { env = "KEY" }\n'


def problem(table: dict[str, object]) -> str:
    [fault] = read_keys(table)[1]
    return f"{fault.name}: {fault.problem}"


def test_an_act_has_its_other_key_on_each_of_its_screens() -> None:
    remap, faults = read_keys({"rerun": "K", "jobs.mark": ["m", "f7"]})
    assert [] == faults
    assert {"jobs": ("K",), "job": ("K",), "incident": ("K",)}.items() <= {
        where: next(act.keys for act in key_table.key_actions(where, remap) if act.name == "rerun")
        for where in ("jobs", "job", "incident")
    }.items()
    assert ("m", "f7") == next(act.keys for act in key_table.key_actions("jobs", remap) if act.name == "mark")
    assert ("space",) == next(act.keys for act in key_table.key_actions("runs", remap) if act.name == "mark")


def test_the_example_of_the_page_can_be_used() -> None:
    page = Path(__file__).parents[3] / "docs" / "console.md"
    example = page.read_text("utf-8").partition("\n[console.keys]\n")[2].partition("```")[0]
    remap, faults = read_keys(tomllib.loads(example))
    assert ([], True) == (faults, bool(remap))


def test_an_act_that_has_no_key_gets_one() -> None:
    remap, faults = read_keys({"holds": "8"})
    assert [] == faults
    assert ("8",) == remap["jobs.holds"]


def test_two_acts_change_places() -> None:
    remap, faults = read_keys({"jobs.rerun": "l", "jobs.log": "r"})
    assert [] == faults
    assert (("l",), ("r",)) == (remap["jobs.rerun"], remap["jobs.log"])


@each_row(
    "table, text",
    [
        ({"rerum": "x"}, 'rerum: unknown action. Did you mean "rerun"?'),
        ({"hold": "crtl+x"}, 'hold: no key "crtl+x": did you mean "ctrl+x"?'),
        ({"hold": "spcae"}, 'hold: no key "spcae": did you mean "space"?'),
        ({"hold": 3}, "hold: 3 is not a key. Write hold ="),
        ({"hold": []}, "hold: [] is not a key"),
        ({"back": "ctrl+c"}, "back: Ctrl-C always leaves. Take another key."),
        ({"leave": "Q"}, "leave: Ctrl-C always leaves and cannot be moved. Take the line out."),
        ({"pick.choose": "x"}, 'pick.choose: one types there, so "x" would be a letter'),
        ({"hold": "l"}, 'hold: "l" is "log" on Jobs already. Take another key, or move that one too: log = "…".'),
        ({"hold": "j"}, 'hold: "j" is "down" on Jobs already'),
        ({"down": "$"}, 'down: "$" is "shell" on Systems already'),
    ],
)
def test_an_invalid_line_is_reported_with_value_and_fix(table: dict[str, object], text: str) -> None:
    assert problem(table).startswith(text)


def test_what_is_wrong_is_left_out_and_the_rest_is_used() -> None:
    remap, faults = read_keys({"hold": "l", "wide": "ctrl+e"})
    assert ["hold"] == [fault.name for fault in faults]
    assert ("ctrl+e",) == remap["jobs.wide"]
    assert "jobs.hold" not in remap


def test_the_tables_own_keys_are_known_and_collide_nowhere() -> None:
    as_they_are = {act.id: list(act.keys) for act in key_table.KEY_TABLE if act.keys and act.name != "leave"}
    alone = {
        f"{where}.{act.id}": list(act.keys)
        for where in key_table.SCREENS
        for act in key_table.key_actions(where)
        if act.keys
    }
    alone = {name: value for name, value in alone.items() if not name.endswith(".leave")}
    assert set(as_they_are) <= set(action_ids())
    assert [] == read_keys(alone)[1]


def test_one_key_has_one_name_however_it_is_written() -> None:
    assert "$" == normalize_key("dollar_sign") == normalize_key("$")
    assert "alt+ctrl+x" == normalize_key("ctrl+alt+x")


def test_personal_keys_override_those_of_the_config_and_only_personal_errors_are_shown() -> None:
    remap, faults = read_layers({"rerun": "x", "gone_act": "y"}, {"rerun": "f5"})
    assert (("f5",), []) == (remap["jobs.rerun"], faults)
    remap, faults = read_layers({"mark": "x"}, {"rerun": "x", "wide": "ctrl+e"})
    assert ["rerun"] == [fault.name for fault in faults]
    assert (("x",), ("ctrl+e",)) == (remap["jobs.mark"], remap["jobs.wide"])


def faults_of(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "headway.toml"
    path.write_text(SYSTEM + text)
    try:
        load_config(path)
    except ConfigFaults as error:
        return [str(fault).removeprefix(f"{path}:") for fault in error.faults]
    return []


def test_config_reports_the_line_of_an_invalid_key(tmp_path: Path) -> None:
    [wrong, used] = faults_of(tmp_path, '[console.keys]\nrerum = "x"\nhold = "l"\n')
    assert wrong.startswith('6: console.keys.rerum: unknown action. Did you mean "rerun"?')
    assert used.startswith('7: console.keys.hold: "l" is "log" on Jobs already')
    [unknown] = faults_of(tmp_path, "[console]\nkesy = 1\n")
    assert unknown.startswith('6: console.kesy: unknown key. Did you mean "keys"?')


def test_config_takes_keys_as_they_are_given(tmp_path: Path) -> None:
    path = tmp_path / "headway.toml"
    path.write_text(SYSTEM + '[console.keys]\nrerun = "K"\n"jobs.mark" = ["m", "f7"]\n')
    assert {"rerun": "K", "jobs.mark": ["m", "f7"]} == json.loads(load_config(path).console)["keys"]


def with_shared(night: Night) -> None:
    text = json.dumps({"keys": {"rerun": "K", "wide": "ctrl+e", "holds": "8"}})
    view = night.reads.header()._replace(console=text)
    night.reads.header = lambda *_: view  # type: ignore[method-assign]


@on_the_night(size=(120, 90), prepare=with_shared)
async def test_a_remapped_key_works_and_footer_help_and_palette_show_it(night: Night) -> None:
    await night.press("3")
    await night.see("JOBS  row 1 of 14", "K rerun", "l log")
    await night.press("r")
    await night.at_rest()
    assert "jobs" == night.app.screen.WHERE  # type: ignore[attr-defined]
    await night.press("?")
    await night.see("keys of Jobs", "K        rerun", "8        holds")
    await night.press("escape")
    await night.press("ctrl+p")
    await night.see("everything available here", "K         rerun")
    await night.press("escape")
    await night.press("K")
    await night.see("Send", "run extract_orders once")


def with_own_back(night: Night) -> None:
    keys_ = {"back": "f9", "search": "f7", "match_next": "f8", "copy": "f6", "before": "f4"}
    view = night.reads.header()._replace(console=json.dumps({"keys": keys_}))
    night.reads.header = lambda *_: view  # type: ignore[method-assign]


@on_the_night(size=(120, 90), prepare=with_own_back)
async def test_sentences_that_name_a_key_name_the_one_that_works(night: Night) -> None:
    await night.until(lambda: bool(night.app.own.remap), "the keys of config")
    await night.press("3")
    await night.see("JOBS  row 1 of 14")
    await night.press("?")
    await night.see("keys of Jobs", "bulk action; F9 clears the marks")
    await night.press("escape")
    await night.wait_until_hidden("keys of Jobs")
    await night.press("g")
    await night.see("LINEAGE")
    await night.press("f8")
    await night.see("no search yet: F7 starts one")
    await night.press("?")
    await night.see("find a job by part of its name; F8 and N repeat")


@on_the_night(prepare=with_shared)
async def test_what_had_no_key_is_reached_by_the_one_it_was_given(night: Night) -> None:
    await night.until(lambda: bool(night.app.own.remap), "the keys of config")
    await night.press("8")
    await night.see("HOLDS")


ODD = PersonalPreferences(Path("/a/long/way/to/the/folder/with/the/config/of/this/person/console.toml"),
               {"nonsense": "X", "other": "Y"}, text='[keys]\nnonsense = "X"\nother = "Y"\n')  # fmt: skip


@on_the_night(personal=ODD)
async def test_of_several_faults_the_number_the_command_and_the_first_fit_one_line(night: Night) -> None:
    await night.see("2 problems, run headway check for all of them:  console.toml:2: keys.nonsense")


MINE = PersonalPreferences(
    Path("console.toml"), {"rerun": "X", "jobs.mark": "m"}, text='[keys]\nrerun = "X"\n"jobs.mark" = "m"\n'
)


@on_the_night(size=(120, 36), personal=MINE)
async def test_a_personal_key_works_from_the_first_press_and_an_invalid_one_is_reported(night: Night) -> None:
    await night.see('console.toml:2: keys.rerun: "X" is "skip" on Incident already')
    await night.press("3")
    await night.see("JOBS  row 1 of 14")
    await night.press("m")
    await night.see("1 marked")


def test_a_team_that_takes_a_key_away_leaves_the_person_the_rest() -> None:
    own = effective_preferences(json.dumps({"keys": {"mark": "m"}}), MINE)
    assert ("m",) == own.remap["runs.mark"] == own.remap["jobs.mark"]
