"""Where a person has been: last view, history, and the jump that finds by letters."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence

import pytest

from console.domain.filter import JobFilter
from console.domain.job import JobRow
from console.domain.text import Title
from console.store.queries.estate import EndedWork
from console.tui.dialogs.palette import JumpChoices, PaletteChoice, PickScreen, match_cost
from console.tui.frame.history import ViewHistory
from tests.deep import few
from tests.lab.process import HANGS_SECONDS
from tests.rows import each_row
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import draft, incident_row, job_row, plan_of


def test_history_goes_back_and_forward_and_forgets_what_was_ahead() -> None:
    trail = ViewHistory()
    for name in ("a", "b", "c"):
        trail.seen(("screen", name))
    assert ("screen", "b") == trail.step(-1)
    assert ("screen", "a") == trail.step(-1)
    assert trail.step(-1) is None
    assert ("screen", "b") == trail.step(1)
    trail.seen(("screen", "d"))
    assert trail.step(1) is None
    assert ("screen", "b") == trail.step(-1)


def test_the_last_view_is_the_one_before_and_comes_back() -> None:
    trail = ViewHistory()
    assert trail.last() is None
    trail.seen(("screen", "a"))
    assert trail.last() is None
    trail.seen(("job", 4))
    assert [("screen", "a"), ("job", 4), ("screen", "a")] == [trail.last(), trail.last(), trail.last()]


def test_what_was_filtered_meanwhile_is_what_one_comes_back_to() -> None:
    trail = ViewHistory()
    trail.seen(("table", ("jobs", "")))
    trail.changed(("table", ("jobs", "db07")))
    trail.changed(("table", ("runs", "")))
    trail.changed(("job", 1))
    trail.seen(("job", 1))
    assert ("table", ("jobs", "db07")) == trail.step(-1)


@on_the_night()
async def test_the_last_view_is_the_table_that_was_left_with_its_row_and_scroll(night: Night) -> None:
    night.reads.jobs_ += [job_row(100 + n, f"etl-hosts/host{n:02d}:job") for n in range(60)]
    await night.press("3")
    await night.see("JOBS  row 1 of 74")
    await night.press("end", *["up"] * 5, "enter")
    await night.see("JOB etl-hosts/host")
    await night.press("escape")
    await night.see("JOBS  row 69 of 74")
    seen = night.text.splitlines()[3:-1]
    await night.press("7")
    await night.see("RUNS  row 1")
    await night.act("last")
    await night.see("JOBS  row 69 of 74")
    await night.until(lambda: seen == night.text.splitlines()[3:-1], "the same lines")


@on_the_night()
async def test_the_last_view_may_be_a_lineage_with_its_cursor(night: Night) -> None:
    await night.see("Supply plan")
    await night.press("g")
    await night.see("LINEAGE", "root cause")
    await night.press("right")
    position = night.app.screen.selected_name()  # type: ignore[attr-defined]
    await night.press("4")
    await night.see("TONIGHT")
    await night.act("last")
    await night.see("LINEAGE")
    await night.until(lambda: position == night.app.screen.selected_name(), "the same job")  # type: ignore[attr-defined]


@on_the_night()
async def test_a_number_leads_back_to_the_row_where_one_was(night: Night) -> None:
    night.reads.jobs_ += [job_row(100 + n, f"etl-hosts/host{n:02d}:job") for n in range(60)]
    await night.press("3")
    await night.see("JOBS  row 1 of 74")
    await night.press("end", *["up"] * 5)
    await night.see("JOBS  row 69 of 74")
    seen = night.text.splitlines()[3:-1]
    await night.press("2")
    await night.see("INC-0412")
    await night.press("3")
    await night.see("JOBS  row 69 of 74")
    await night.until(lambda: seen == night.text.splitlines()[3:-1], "the same lines")


@on_the_night()
async def test_a_number_leads_to_the_row_that_one_chose_in_a_filtered_table(night: Night) -> None:
    await night.press("3")
    await night.see("JOBS  row 1 of 14")
    await night.press("/")
    await night.typing()
    await night.type("load_orders")
    await night.see("row 1 of 2 ")
    await night.press("enter", "down")
    await night.see("row 2 of 2 ")
    await night.press("1")
    await night.see("SERVICES")
    await night.press("3")
    await night.see("of 14")
    await night.until(lambda: "load_orders.publish" in night.app.screen.selected_name(), "its row")  # type: ignore[attr-defined]


def test_without_a_move_a_return_goes_to_the_top_and_not_to_the_former_row() -> None:
    trail = ViewHistory()
    trail.left(("screen", "incidents"), None, 0)
    assert (None, 0) == trail.position_on_screen("incidents", ("screen", "incidents"))
    trail.left(("table", ("jobs", "db07", "", False, False)), 7, 30)
    assert (7, None) == trail.position_on_screen("jobs", ("table", ("jobs", "", "", False, False)))
    assert (None, None) == trail.position_on_screen("runs", None)


LONG_LOG = "\n".join(f"line {n} of the log" for n in range(300))


def _long_log(night: Night) -> None:
    night.requests.log_text = LONG_LOG


@on_the_night(prepare=_long_log)
async def test_the_last_view_may_be_a_log_at_the_line_where_one_was(night: Night) -> None:
    await night.see("Supply plan")
    await night.press("l")
    await night.see("line 299 of the log")
    await night.press("pageup", "pageup")
    await night.wait_until_hidden("line 299 of the log")
    await night.at_rest()
    seen = night.text.splitlines()[-10:-1]
    await night.press("3")
    await night.see("JOBS  row 1")
    await night.act("last")
    await night.until(lambda: seen == night.text.splitlines()[-10:-1], "the same lines")


@each_row(
    "name,typed,worse_than",
    [
        ("extract", "extract", ""),
        ("extract_orders", "extract", "extract"),
        ("db07:extract", "extract", "extract_orders"),
        ("reextract", "extract", "db07:extract"),
        ("e_x_tract", "extract", "reextract"),
    ],
)
def test_what_fits_better_comes_first(name: str, typed: str, worse_than: str) -> None:
    number, before = match_cost(name, typed), match_cost(worse_than, typed) if worse_than else -1
    assert number is not None
    assert before is not None
    assert before < number


def test_letters_that_do_not_stand_in_order_do_not_fit() -> None:
    assert match_cost("extract", "tcartxe") is None


@pytest.mark.deep
@on_the_night()
async def test_minus_goes_to_the_last_view_and_brackets_through_all_of_them(night: Night) -> None:
    await night.see("SERVICES")
    await night.press("minus")
    await night.see("no previous view")
    await night.press("3")
    await night.see("JOBS  row 1 of 14")
    await night.press("/")
    await night.typing()
    await night.type("extract_orders")
    await night.see("row 1 of 1 ")
    await night.press("enter", "enter")
    await night.see("JOB etl-hosts/db07:extract_orders")
    await night.press("minus")
    await night.see("JOBS  row 1 of 1 ", "/ extract_orders")
    await night.press("minus")
    await night.see("JOB etl-hosts/db07:extract_orders")
    await night.press(*["left_square_bracket"] * 4)
    await night.see("SERVICES")
    await night.press("left_square_bracket")
    await night.see("no earlier view")
    await night.press("right_square_bracket")
    await night.see("JOBS  row 1 of 1 ")


@on_the_night()
async def test_what_comes_late_into_the_jump_leaves_the_cursor_on_its_line(night: Night) -> None:
    await night.see("SERVICES")
    await night.press(":")
    await night.typing()
    await night.answered()
    go, predicate = threading.Event(), night.reads.jobs_first_page

    def late(criteria: JobFilter, sort: str = "attention", limit: int = 128) -> Sequence[JobRow]:
        go.wait(HANGS_SECONDS)
        return predicate(criteria, sort, limit)

    setattr(night.reads, "jobs_first_page", late)  # noqa: B010 - mypy knows it as a method
    await night.type("o")
    await night.press("down")
    screen = night.app.screen
    assert isinstance(screen, PickScreen)
    source = screen.source
    assert isinstance(source, JumpChoices)
    under = chosen(screen)
    assert under is not screen.shown[0]
    go.set()
    await night.until(lambda: bool(source.jobs), "the jobs")
    assert under == chosen(screen)
    await night.type("r")
    assert screen.shown[0] == chosen(screen)


def chosen(screen: PickScreen) -> PaletteChoice:
    key = screen.grid.key
    assert isinstance(key, int)
    return screen.shown[key]


@on_the_night()
async def test_a_command_in_full_ranks_before_a_job_of_that_name(night: Night) -> None:
    night.reads.jobs_ += [job_row(100, "etl-hosts/db07:theme")]
    await night.see("SERVICES")
    await night.press(":")
    await night.typing()
    await night.type("theme")
    screen = night.app.screen
    assert isinstance(screen, PickScreen)
    await night.until(lambda: ("job", 100) in [choice.value for choice in screen.shown], "the job")
    assert chosen(screen).tag == "theme"
    await night.type(" nord")
    await night.until(lambda: ("theme", "nord") == chosen(screen).value, "the theme of that name")


@on_the_night(size=(120, 36))
async def test_key_help_names_the_screen_of_a_key_that_is_not_of_this_one(night: Night) -> None:
    await night.see("SERVICES")
    await night.press("?")
    await night.typing()
    await night.type("edit owner")
    await night.see("edit card", "on Job: edit owner")


@on_the_night(size=(120, 36))
async def test_a_jump_finds_a_closed_incident_by_its_number(night: Night) -> None:
    await night.see("SERVICES")
    ended = [EndedWork("incident", 7, "etl-hosts/db07:extract_orders", "closed")]
    setattr(night.reads.estate, "ended_work", lambda: ended)  # noqa: B010 - mypy knows it as a method
    await night.press(":")
    await night.typing()
    await night.type("INC-0007")
    await night.see("INC-0007 etl-hosts/db07:extract_orders", "closed")


@on_the_night(size=(120, 36))
async def test_a_jump_names_an_incident_without_a_job_by_its_title(night: Night) -> None:
    """The incident of a failed check was listed as a Title of parts, not as its text."""
    night.reads.incidents_ = [incident_row(cause="check", root_job="", title=Title(("12 rows, fewer than 100",)))]
    await night.see("SERVICES")
    await night.press(":")
    await night.typing()
    await night.type("INC-0412")
    await night.see("INC-0412 12 rows, fewer than 100")


@pytest.mark.deep
@on_the_night()
async def test_a_jump_finds_by_letters_and_opens_a_table_with_a_filter(night: Night) -> None:
    await night.see("SERVICES")
    await night.press(":")
    await night.typing()
    await night.type("xord")
    await night.see("etl-hosts/db07:extract_orders")
    await night.press("escape", ":")
    await night.typing()
    await night.type("jobs state:failed")
    await night.see("jobs: state:failed")
    await night.press("enter")
    await night.see("JOBS  row 1 of 2", "/ state:failed")


@on_the_night(size=(120, 36))
async def test_a_word_that_names_nothing_leads_nowhere_by_its_letters(night: Night) -> None:
    """ ":alerts" opened a plan, by letters of its title that are far apart."""
    night.reads.plans_ = [plan_of(draft(), 1, title="airflow/load: repair it, then the rest")]
    await night.see("SERVICES")
    await night.press(":")
    await night.typing()
    await night.type("alerts")
    await night.see("no such name; arrow keys select a similar one", "airflow/load: repair")
    await night.press("enter")
    await night.at_rest()
    assert "no such name; arrow keys select a similar one" in night.text
    await night.press("down", "enter")
    await night.see("SHADOW")


@on_the_night(size=(120, 36))
async def test_a_plan_is_found_by_its_kind_and_number(night: Night) -> None:
    night.reads.plans_ = [plan_of(draft(), 7)]
    row = dataclasses.replace(night.reads.incident_.row, reason=("it waits for plan 7",))
    night.reads.incident_ = dataclasses.replace(night.reads.incident_, row=row)
    await night.see("SERVICES")
    await night.press(":", *"plan 7", "enter")
    await night.see("PLAN 7")


COMMANDS = {
    ":svc": "SERVICES",
    ":inc": "INCIDENTS",
    ":jobs": "JOBS",
    ":runs": "RUNS",
    ":sys": "SYSTEMS",
    ":tl": "TONIGHT",
    ":hold": "HOLDS",
    ":plan": "INC-0412",
    ":inc 412": "INC-0412",
    ":sys pg": "/ system:pg-dwh",
    ":jobs /extract": "/ extract",
    ":runs state:failed": "/ state:failed",
}


@pytest.mark.parametrize("text", few(COMMANDS, 4))
def test_every_short_name_of_the_jump_leads_there(text: str) -> None:
    @on_the_night(size=(120, 36))
    async def goes(night: Night) -> None:
        await night.see("Supply plan")
        await night.press(":")
        await night.typing()
        await night.type(text[1:])
        await night.at_rest()
        await night.press("enter")
        await night.see(COMMANDS[text])

    goes()


@on_the_night(size=(120, 36))
async def test_a_short_name_without_a_target_on_this_screen_says_so(night: Night) -> None:
    await night.press("5")
    await night.see("SYSTEMS")
    await night.press(":", *"log")
    await night.see("not available on this screen")
    await night.press("enter")
    await night.see("SYSTEMS")


@on_the_night(size=(120, 36))
async def test_the_short_names_of_actions_run_them(night: Night) -> None:
    await night.press("3")
    await night.see("JOBS  row 1 of 14")
    await night.press(":", *"log", "enter")
    await night.see("RUN")


@pytest.mark.parametrize("term", ["q", "quit", "q!"])
def test_a_colon_and_q_quit_from_anywhere(term: str) -> None:
    @on_the_night(size=(120, 36))
    async def quits(night: Night) -> None:
        await night.press("3")
        await night.see("JOBS  row 1 of 14")
        await night.press(":", *term)
        await night.see("quit at once")
        await night.press("enter")
        await night.until(lambda: night.app.return_code == 0 and not night.app.is_running, "the end")

    quits()


@on_the_night(size=(120, 36))
async def test_q_closes_a_text_and_then_goes_back(night: Night) -> None:
    await night.press("3")
    await night.see("JOBS  row 1 of 14")
    await night.press("i")
    await night.see("record of")
    await night.press("q")
    await night.wait_until_hidden("record of")
    await night.see("JOBS  row 1 of 14")
    await night.press("q")
    await night.see("SERVICES")
