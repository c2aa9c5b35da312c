"""Services after a resize are what they are in a console that was opened at that size."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.tui.driving import Night, on_the_night

SIZES = ((100, 30), (100, 24), (200, 50), (80, 24), (70, 20))


def one_service(night: Night) -> None:
    night.reads.services_ = night.reads.services_[:1]


def texts(prepare: Callable[[Night], None] | None, *sizes: tuple[int, int]) -> list[str]:
    """The screen at each of the sizes, one after the other."""
    screens: list[str] = []

    async def steps(night: Night) -> None:
        for size in sizes:
            await night.pilot.resize_terminal(*size)
            await night.see("Supply plan", "service owner")
            await night.at_rest()
            screens.append(night.text)

    on_the_night(size=sizes[0], prepare=prepare)(steps)()
    return screens


@pytest.mark.parametrize(
    "prepare, sizes",
    [
        (None, SIZES[2:4]),
        pytest.param(None, SIZES, marks=pytest.mark.deep),
        pytest.param(one_service, SIZES, marks=pytest.mark.deep),
    ],
)
def test_a_resize_leaves_each_row_and_the_details_as_on_a_fresh_start(
    prepare: Callable[[Night], None] | None, sizes: tuple[tuple[int, int], ...]
) -> None:
    _, *others = zip(sizes, texts(prepare, *sizes), strict=True)
    for size, resized in others:
        assert texts(prepare, size) == [resized], size


@on_the_night()
async def test_an_answer_that_comes_while_the_screen_closes_finds_no_missing_widget(night: Night) -> None:
    """A tab that is closed early takes the details away while the path of the selected service is read."""
    await night.see("Supply plan", "service owner")
    screen = night.app.screen
    await screen.query_one("#detail").remove()
    screen.fetch()  # type: ignore[attr-defined]
    await night.answered()
    await night.see("Supply plan")
