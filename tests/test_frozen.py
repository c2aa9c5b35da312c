"""Values whose methods are compiled when first needed are dataclasses in everything else."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
import threading
from dataclasses import FrozenInstanceError, field

import pytest

from console.model.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Box:
    """Something with a default, a factory and a method."""

    name: str
    sides: tuple[int, ...] = field(default_factory=tuple)
    depth: int = 3

    @property
    def is_flat(self) -> bool:
        return not self.depth


@dataclass(frozen=True, slots=True)
class Crate(Box):
    slats: int = 9


@dataclass(frozen=True, slots=True)
class Plain:
    """Builds on nothing and has no factory: of it little is compiled."""

    name: str
    depth: int = 3


def test_an_instance_is_a_value_before_anybody_asks_for_its_fields() -> None:
    assert Plain("a", 3) == Plain(name="a") != Plain("a", 4)
    assert Plain("a") != Box("a"), "another class is another value"  # type: ignore[comparison-overlap]
    assert {Plain("a"): 1}[Plain("a", depth=3)] == 1
    assert "Plain(name='a', depth=3)" == repr(Plain("a"))
    with pytest.raises(FrozenInstanceError, match="name"):
        Plain("a").name = "b"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError, match="name"):
        del Plain("a").name
    with pytest.raises(TypeError, match=r"Plain.__init__\(\) missing 1 required .* 'name'"):
        Plain()  # type: ignore[call-arg]
    early = Plain("a")
    assert Plain("a", 5) == dataclasses.replace(early, depth=5)
    assert early == Plain("a"), "one that was made before is still the same value"
    assert {Plain("a"): 1}[early] == 1


def test_it_is_a_frozen_dataclass_of_its_fields() -> None:
    assert ["name", "sides", "depth"] == [one.name for one in dataclasses.fields(Box)]
    assert Box("a", (), 3) == Box("a") != Box("a", (1,))
    assert hash(Box("a")) == hash(Box("a"))
    assert "Box(name='a', sides=(), depth=0)" == repr(dataclasses.replace(Box("a"), depth=0))
    assert Box("a", depth=0).is_flat
    assert {"name": "a", "sides": (), "depth": 3} == dataclasses.asdict(Box("a"))
    assert not hasattr(Box("a"), "__dict__")
    with pytest.raises(FrozenInstanceError):
        Box("a").name = "b"  # type: ignore[misc]
    with pytest.raises(TypeError, match="name"):
        Box()  # type: ignore[call-arg]


def test_one_that_builds_on_another_has_the_fields_of_both() -> None:
    assert Crate("a", (1,), 2, 4) == Crate("a", sides=(1,), depth=2, slats=4)
    assert Crate("a") != Box("a")
    assert isinstance(Crate("a"), Box)


def test_it_is_copied_and_packed_as_any_value() -> None:
    for again in (copy.copy(Crate("a")), copy.deepcopy(Crate("a")), pickle.loads(pickle.dumps(Crate("a")))):
        assert Crate("a") == again


def test_its_first_use_in_many_threads_at_once_is_one() -> None:
    @dataclass(frozen=True, slots=True)
    class New:
        value: int

    ready, found = threading.Barrier(8), []

    def use() -> None:
        ready.wait()
        found.append(New(1))

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [New(1)] * 8 == found


def test_what_screens_may_read_is_not_compiled_when_it_is_loaded() -> None:
    """A dataclass of each compiles for 1 to 4 ms, 62 times: a quarter of the console's start."""
    code = (
        "import dataclasses; asked = []; real = dataclasses._process_class\n"
        "dataclasses._process_class = lambda cls, *more: (asked.append(cls), real(cls, *more))[1]\n"
        "import console.tui.app, console.store.reads\n"
        "print(*(one.__name__ for one in asked if one.__module__.startswith('console.model.views')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "" == done.stdout.strip()
