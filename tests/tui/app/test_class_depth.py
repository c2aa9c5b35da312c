"""A screen or dialog is one class over the common base; what differs is given to it as parts."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import console.tui
from console.tui.dialogs.overlay import Overlay
from console.tui.frame.screen import HeadwayScreen


def _subclasses(base: type[Any]) -> Iterator[type[Any]]:
    for module in pkgutil.walk_packages(console.tui.__path__, "console.tui."):
        importlib.import_module(module.name)
    for cls in base.__subclasses__():
        if cls.__module__.startswith("console.tui."):
            yield cls
            yield from _subclasses(cls)


def test_every_screen_is_one_class_over_the_common_base() -> None:
    deeper = {cls.__name__ for cls in _subclasses(HeadwayScreen) if HeadwayScreen not in cls.__bases__}
    assert set() == deeper


def test_every_dialog_is_one_class_over_the_common_base() -> None:
    deeper = {cls.__name__ for cls in _subclasses(Overlay) if Overlay not in cls.__bases__}
    assert set() == deeper
