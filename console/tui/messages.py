"""What threads say to the app."""

from __future__ import annotations

from collections.abc import Callable

from textual.message import Message


class Arrived(Message):
    """An answer from a desk; `deliver` hands it to whoever asked."""

    def __init__(self, deliver: Callable[[], None]) -> None:
        super().__init__()
        self.deliver = deliver
