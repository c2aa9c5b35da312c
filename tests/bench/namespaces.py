"""Network namespaces on one bridge, each with one address, and cut from the others at will. Needs root and iproute2."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

NETWORK = f"10.213.{os.getpid() % 250}"
BRIDGE_ADDRESS = f"{NETWORK}.1"
"""Of this machine, as the namespaces see it."""


@dataclass(frozen=True, slots=True)
class Namespace:
    name: str

    @property
    def prefix(self) -> list[str]:
        """Starts a program in it, with the process id of the caller."""
        return ["ip", "netns", "exec", self.name]

    def cut(self) -> None:
        """Nothing arrives in either direction, and nobody is notified."""
        _ip("link", "set", f"{self.name}h", "nomaster")

    def join(self, bridge: str) -> None:
        _ip("link", "set", f"{self.name}h", "master", bridge)


@contextmanager
def namespaces(count: int) -> Iterator[tuple[str, Sequence[Namespace]]]:
    """The name of the bridge, and so many namespaces; removed at the end."""
    bridge = f"hb{os.getpid()}"
    made = [Namespace(f"h{os.getpid()}n{number}") for number in range(count)]
    try:
        _ip("link", "add", bridge, "type", "bridge")
        _ip("address", "add", f"{BRIDGE_ADDRESS}/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for number, namespace in enumerate(made):
            name, outer = namespace.name, f"{namespace.name}h"
            _ip("netns", "add", name)
            _ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", outer, "master", bridge, "up")
            _ip("-n", name, "address", "add", f"{NETWORK}.{number + 2}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "link", "set", "lo", "up")
        yield bridge, made
    finally:
        for namespace in made:
            subprocess.run(["ip", "netns", "delete", namespace.name], capture_output=True, check=False)
        subprocess.run(["ip", "link", "delete", bridge], capture_output=True, check=False)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
