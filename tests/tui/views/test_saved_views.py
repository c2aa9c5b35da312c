"""Saved views: one's own in a file that stays a person's, shared ones in config, opened by name; none lost unasked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.config.document import ConfigFaults
from console.config.loading import load_config
from console.config.preferences import (
    PersonalPreferences,
    PreferencesNotSaved,
    UnknownView,
    delete_view,
    effective_preferences,
    find_view,
    read_preferences,
    save_theme,
    save_view,
)
from console.config.saved_views import SavedView
from tests.tui.driving import Night, on_the_night

SYSTEM = '[systems.etl]\nkind = "cron"\nhosts = ["db07"]\nkey = { env = "KEY" }\n'
HAND = """# mine, since spring
[keys]
rerun = "ctrl+r"  # as in the old tool

# the late ones
[views.late]
table = "jobs"    # everything
filter = "state:missed"

# what follows is about runs
[views.red]
table = "runs"
sort = "-age"
"""
NIGHT = SavedView("night", "jobs", "state:failed", "-age", "wide", True, mine=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "headway" / "console.toml"


def hand_written(path: Path, text: str = HAND) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_there_is_nothing_and_no_fault(path: Path) -> None:
    assert PersonalPreferences(path) == read_preferences(path)


def test_what_is_saved_is_read_again_and_the_file_is_readable_by_its_owner_only(path: Path) -> None:
    save_view(NIGHT, path)
    assert {"night": NIGHT} == read_preferences(path).views
    assert 0o600 == path.stat().st_mode & 0o777
    assert path.read_text(encoding="utf-8").startswith("# Yours alone")
    assert [path] == list(path.parent.iterdir())


def test_what_a_person_wrote_stays_as_it_is(path: Path) -> None:
    hand_written(path)
    save_view(NIGHT, path)
    assert path.read_text(encoding="utf-8").startswith(HAND.rstrip())
    save_view(SavedView("late", "jobs", "state:lost"), path)
    text = path.read_text(encoding="utf-8")
    assert "# the late ones" in text
    assert "# what follows is about runs\n[views.red]" in text
    assert ("state:lost", "-age") == (
        read_preferences(path).views["late"].filter,
        read_preferences(path).views["red"].sort,
    )


def test_what_is_forgotten_takes_nothing_else_with_it(path: Path) -> None:
    hand_written(path)
    delete_view("late", path)
    preferences = read_preferences(path)
    assert (["red"], {"rerun": "ctrl+r"}) == (list(preferences.views), preferences.keys)


@pytest.mark.parametrize(
    "before",
    ["", "# mine\n[keys]\nrecover = 'f4'\n", "theme = 'nord'\n[keys]\n", "# no table\n", "# a\n'theme' = 'dracula'\n"],
)
def test_a_theme_is_saved_and_all_else_stays_as_it_was(path: Path, before: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(before)
    save_theme("light", path)
    save_theme("solarized-light", path)
    preferences = read_preferences(path)
    assert ("solarized-light", ()) == (preferences.theme, preferences.faults)
    assert preferences.text.count("theme =") + preferences.text.count("'theme'") == 1
    assert all(line in preferences.text for line in before.splitlines() if "theme" not in line)


def test_an_unknown_theme_is_a_fault_and_the_default_stays(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('theme = "nrod"\n')
    preferences = read_preferences(path)
    assert ("", (f'{path}:1: theme: unknown theme; did you mean "nord"?',)) == (preferences.theme, preferences.faults)


@pytest.mark.parametrize("text", ["[views.late\n", "views = 3\n", "views.late = { table = 'jobs' }\n"])
def test_a_file_that_only_a_person_can_change_is_never_written_over(path: Path, text: str) -> None:
    hand_written(path, text)
    with pytest.raises(PreferencesNotSaved, match=r"console\.toml"):
        save_view(SavedView("late", "runs"), path)
    assert text == path.read_text(encoding="utf-8")


def test_a_file_that_cannot_be_written_says_so_and_stays(path: Path) -> None:
    path.parent.write_text("a file stands in the folder's place")
    with pytest.raises(PreferencesNotSaved, match=r"nothing was written over .*console\.toml"):
        save_view(NIGHT, path)


def test_the_link_that_leads_to_the_file_stays_a_link(path: Path, tmp_path: Path) -> None:
    real = hand_written(tmp_path / "dotfiles" / "console.toml")
    path.parent.mkdir(parents=True)
    path.symlink_to(real)
    save_view(NIGHT, path)
    assert path.is_symlink()
    assert "[views.night]" in real.read_text(encoding="utf-8")


@pytest.mark.deep
@given(st.dictionaries(st.from_regex(r"[A-Za-z0-9_.-]{1,12}", fullmatch=True), st.text(max_size=20), max_size=4))
def test_any_text_is_read_as_it_was_saved(tmp_path_factory: pytest.TempPathFactory, views: dict[str, str]) -> None:
    path = tmp_path_factory.mktemp("own") / "console.toml"
    saved = {name: SavedView(name, "services", text, mine=True) for name, text in views.items()}
    for view in saved.values():
        save_view(view, path)
    assert saved == read_preferences(path).views
    for name in views:
        delete_view(name, path)
    assert {} == read_preferences(path).views


def test_errors_name_file_line_value_and_fix_and_the_rest_is_used(path: Path) -> None:
    hand_written(
        path,
        '[views.ok]\ntable = "runs"\n\n[views.bad]\ntable = "job"\n\n'
        '[views.odd]\nsort = "deadlin"\nfilter = "stat:x"\n\n'
        "[veiws]\n",
    )
    preferences = read_preferences(path)
    assert ["ok"] == list(preferences.views)
    assert [
        f"{path}:11: veiws: unknown. There are theme, [keys] and [views.NAME].",
        f'{path}:5: views.bad.table: "job": Did you mean "jobs"?',
        f'{path}:8: views.odd.sort: "deadlin": jobs cannot be sorted by it. Did you mean "deadline"?',
        f'{path}:9: views.odd.filter: no field "stat:"; did you mean state:? In quotes it is part of a name.',
    ] == list(preferences.faults)


def test_config_has_views_for_all_and_reports_the_line_of_an_invalid_one(tmp_path: Path) -> None:
    path = tmp_path / "headway.toml"
    path.write_text(SYSTEM + '[views.night]\ntable = "runs"\nfilter = "state:failed"\n')
    assert {"night": {"table": "runs", "filter": "state:failed"}} == json.loads(load_config(path).console)["views"]
    path.write_text(SYSTEM + '[views.night]\ntable = "runs"\nfilter = "state:failing"\ncolums = "wide"\n')
    with pytest.raises(ConfigFaults) as refused:
        load_config(path)
    assert 'toml:8: views.night.colums: unknown key. Did you mean "columns"?' in str(refused.value)


VIEWS = {"night": {"table": "runs"}, "all": {"table": "jobs"}, "new": {"table": "x"}}
SHARED = json.dumps({"keys": {}, "views": VIEWS})


def test_ones_own_view_hides_the_shared_one_and_what_is_not_known_here_is_left_out() -> None:
    own = effective_preferences(SHARED, PersonalPreferences(Path("f"), views={"night": NIGHT}))
    assert [("night", True), ("all", False)] == [(saved.name, saved.mine) for saved in own.views]


def test_a_command_finds_the_view_or_says_what_there_is() -> None:
    mine = PersonalPreferences(Path("f"), views={"late": SavedView("late", "jobs", "state:missed", mine=True)})
    assert "state:missed" == find_view("jobs", "late", SHARED, mine).filter
    with pytest.raises(UnknownView, match=r'no saved view "lat" for jobs\. Fix: did you mean "late"'):
        find_view("jobs", "lat", SHARED, mine)
    with pytest.raises(UnknownView, match='view "late" is of jobs: headway job list --view late'):
        find_view("runs", "late", SHARED, mine)


# in the console


def with_shared(night: Night) -> None:
    view = night.reads.header()._replace(console=SHARED)
    night.reads.header = lambda *_: view  # type: ignore[method-assign]


@pytest.mark.deep
@on_the_night(size=(120, 36), prepare=with_shared)
async def test_what_is_shown_is_saved_under_a_name_and_opened_by_it_from_anywhere(night: Night) -> None:
    await night.press("3", "/")
    await night.typing()
    await night.type("state:failed")
    await night.press("enter", "T", "exclamation_mark", "V")
    await night.see("saved views", "Save this view…", "jobs state:failed, by age, only problems", "shared  all")
    await night.press("enter")
    await night.see("name of the view")
    await night.type("inc")
    await night.press("enter")
    await night.see('":inc" is already in use')
    await night.press("backspace", "backspace", "backspace", *"mine", "enter")
    await night.see("saved: mine")
    assert "state:failed" == read_preferences(night.app.personal.path).views["mine"].filter
    await night.press("1", ":", *"mine")
    await night.see("view      mine")
    await night.press("enter")
    await night.see("sort:age", "! only problems", "/ state:failed")
    delete_view("mine", night.app.personal.path)


@on_the_night(size=(120, 36), prepare=with_shared)
async def test_a_saved_view_is_overwritten_or_deleted_only_after_a_question(night: Night) -> None:
    path = night.app.personal.path
    save_view(SavedView("late", "jobs", "state:missed"), path)
    night.app.take_personal(read_preferences(path))
    await night.press("3", "V")
    await night.see("mine    late", "Delete late")
    await night.press("enter")
    await night.see("name of the view")
    await night.press(*"late", "enter")
    await night.see('"late" is jobs state:missed', "Overwrite it")
    await night.press("enter")  # Back
    await night.at_rest()
    assert "state:missed" == read_preferences(path).views["late"].filter
    await night.press("V", *"delete", "enter")
    await night.see('delete "late"?')
    await night.press("down", "enter")
    await night.see("deleted: late")
    assert {} == read_preferences(path).views


@on_the_night(size=(120, 36))
async def test_a_view_of_services_keeps_their_grouping(night: Night) -> None:
    path = night.app.personal.path
    await night.see("Supply plan")
    await night.act("group")
    await night.see("by tier")
    await night.press("V", "enter")
    await night.see("services, grouped by tier: name of the view")
    await night.press(*"tiers", "enter")
    await night.see("saved: tiers")
    await night.act("group")
    await night.press("3", ":", *"tiers", "enter")
    await night.see("SERVICES", "by tier")
    delete_view("tiers", path)


def test_only_services_are_grouped(path: Path) -> None:
    hand_written(
        path, '[views.a]\ntable = "jobs"\ngrouping = "tier"\n[views.b]\ntable = "services"\ngrouping = "team"\n'
    )
    assert [
        f'{path}:3: views.a.grouping: "tier": jobs have no groups. Take it out.',
        f'{path}:6: views.b.grouping: "team": There are none, tier, owner.',
    ] == list(read_preferences(path).faults)


@on_the_night(size=(120, 36))
async def test_a_broken_file_is_reported_and_preserved(night: Night) -> None:
    path = night.app.personal.path
    hand_written(path, "[views.late\n")
    await night.press("3", "V", "enter")
    await night.see("name of the view")
    await night.press(*"late", "enter")
    await night.see("not saved: nothing was written over")
    assert "[views.late\n" == path.read_text(encoding="utf-8")
    path.unlink()
