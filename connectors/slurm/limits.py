"""How many jobs Slurm runs at once: of a QOS, of a partition by its own QOS, or of each user in one. Sources:
sacctmgr(1), scontrol(1); measured on 22.05.8, where a plain user may read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from connectors.slurm.answer import Answer
from connectors.slurm.parse import lines, section


@dataclass(frozen=True, slots=True)
class Limits:
    of_qos: dict[str, tuple[int | None, int | None]]
    """Jobs that run at once, of all and of each user; None: without a limit."""
    partitions: dict[str, str]
    """The QOS that a partition has of its own."""

    def tightest(self, partition: str, qos: str, user: str) -> tuple[str, int | None]:
        """Pool and slots of the jobs that are submitted so; ("", None) without a limit."""
        own = self.partitions.get(partition, "")
        found = [*self._of(f"qos {qos}", qos, user), *self._of(f"partition {partition}", own, user)]
        slots, pool = min(found, default=(None, ""))
        return pool, slots

    def _of(self, name: str, qos: str, user: str) -> Iterator[tuple[int, str]]:
        every, of_each = self.of_qos.get(qos, (None, None))
        if every is not None:
            yield every, name
        if of_each is not None:
            yield of_each, f"{name}, of {user}"


def limits(answer: Answer) -> Limits:
    """None of them where none is enforced, or they cannot be read."""
    of_qos: dict[str, tuple[int | None, int | None]] = {}
    partitions: dict[str, str] = {}
    for line in lines(section(answer, "LIMITS")):
        match line.split("|"):
            case ["q", name, every, of_each]:
                of_qos[name] = (_count(every), _count(of_each))
            case ["p", name, qos]:
                partitions[name] = qos
    return Limits(of_qos, partitions)


def _count(text: str) -> int | None:
    """A limit of 0 lets nothing run: that is no queue."""
    return int(text) if text.isascii() and text.isdigit() and 0 < int(text) < 10**6 else None
