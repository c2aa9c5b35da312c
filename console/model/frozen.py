"""Two kinds of frozen values, each quicker than `dataclasses.dataclass` where that costs most.

`value`: an estate has hundreds of thousands of them, so they are quick to make. A frozen dataclass sets each field
through `object.__setattr__`, which costs four times as much as a plain one; who assigns to a field is stopped by mypy.

`dataclass`: what screens may read has 62 classes, of which the first paint needs ten. A dataclass compiles six methods
as it is declared (1 to 4 ms each, a quarter of the console's start). Of these `__init__` alone is compiled, with the
first instance; all else that a dataclass has is made once somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import get_annotations
from operator import attrgetter
from threading import RLock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass
    from dataclasses import dataclass as value
else:

    def value(*, frozen: bool, slots: bool) -> Callable[[type], type]:
        from dataclasses import dataclass as now  # noqa: PLC0415 - the name is this module's own

        return now(slots=slots, unsafe_hash=frozen)

    def dataclass(*, frozen: bool, slots: bool) -> Callable[[type], type]:
        return _declared


__all__ = ["dataclass", "value"]

_AWAITED = ("__dataclass_fields__", "__dataclass_params__", "__match_args__")
"""What is asked of few classes, and needs the whole of a dataclass."""
_MADE = ("__init__", "__eq__", "__hash__", "__repr__", "__setattr__", "__delattr__", *_AWAITED)
_making = RLock()


class _Awaited:
    """Stands in the place of what is compiled when it is first asked for."""

    def __init__(self, name: str, finish: Callable[[], None]) -> None:
        self._name, self._finish = name, finish

    def __get__(self, instance: object, owner: type) -> Any:
        self._finish()
        return getattr(owner if instance is None else instance, self._name)


def _declared(plain: type) -> type:
    """The class with slots, and with methods that are compiled later."""
    annotated = get_annotations(plain)
    inherited = {slot for base in plain.__mro__[1:] for slot in base.__dict__.get("__slots__", ())}
    kept = {name: found for name, found in plain.__dict__.items() if name not in ("__dict__", "__weakref__")}
    slotted = {name: found for name, found in kept.items() if name not in annotated}
    slotted |= {"__slots__": tuple(name for name in annotated if name not in inherited), "__reduce__": _reduced}
    made = type(plain.__name__, plain.__bases__, slotted)
    made.__doc__ = plain.__doc__ or plain.__name__
    for name in _AWAITED:
        setattr(made, name, _Awaited(name, lambda: _finish(made, kept)))
    begin = _begin if _is_simple(plain, annotated) else _finish
    made.__init__ = _Awaited("__init__", lambda: begin(made, kept))  # type: ignore[misc]
    return made


def _is_simple(plain: type, annotated: dict[str, Any]) -> bool:
    """True for a class that builds on none and all of whose annotations are fields, given to `__init__`."""
    if plain.__bases__ != (object,) or not annotated or "__post_init__" in plain.__dict__:
        return False
    fields = (getattr(plain.__dict__.get(name), "init", True) for name in annotated)
    return all(fields) and not any("ClassVar" in str(how) for how in annotated.values())


def _begin(made: type, kept: dict[str, Any]) -> None:
    """The methods of instances, of which only `__init__` is compiled."""
    names: tuple[str, ...] = made.__slots__  # type: ignore[attr-defined]
    given = [f"{name}=_or_{name}" if name in kept else name for name in names]
    room = {f"_or_{name}": getattr(kept[name], "default_factory", kept[name]) for name in names if name in kept}
    room |= {f"_set_{name}": made.__dict__[name].__set__ for name in names}
    makes = {name for name in names if room.get(f"_or_{name}") is not kept.get(name)}
    sets = "".join(
        f" _set_{name}(self, {f'_or_{name}() if {name} is _or_{name} else ' * (name in makes)}{name})\n"
        for name in names
    )
    exec(f"def __init__(self, {', '.join(given)}):\n{sets}", room)  # noqa: S102 - as dataclasses does: our own names
    room["__init__"].__qualname__ = f"{made.__qualname__}.__init__"
    quick = {"__eq__": _same, "__hash__": _hashed, "__repr__": _told, "__setattr__": _kept, "__delattr__": _kept}
    with _making:
        if isinstance(made.__dict__["__init__"], _Awaited):
            made._headway_values = attrgetter(*names)  # type: ignore[attr-defined]
            for name, method in quick.items():
                setattr(made, name, method)
            made.__init__ = room["__init__"]  # type: ignore[misc]  # last: with it all begins


def _values(one: Any) -> Any:
    return type(one)._headway_values(one)


def _same(one: Any, other: object) -> Any:
    if other.__class__ is not one.__class__:
        return NotImplemented
    return _values(one) == _values(other)


def _hashed(one: Any) -> int:
    return hash(_values(one))


def _told(one: Any) -> str:
    return f"{type(one).__qualname__}({', '.join(f'{name}={getattr(one, name)!r}' for name in type(one).__slots__)})"


def _kept(one: Any, name: str, _: object = None) -> None:
    from dataclasses import FrozenInstanceError  # noqa: PLC0415 - nobody needs it who does as he should

    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _finish(made: type, kept: dict[str, Any]) -> None:
    """Takes over all that a frozen dataclass of the same fields has."""
    from dataclasses import dataclass as now  # noqa: PLC0415 - the name is this module's own

    with _making:
        if isinstance(made.__dict__["__dataclass_fields__"], _Awaited):
            twin: type = now(frozen=True)(type(made.__name__, made.__bases__, {**kept, "__doc__": made.__doc__}))
            for name in _MADE:
                setattr(made, name, twin.__dict__[name])


def _reduced(one: Any) -> tuple[type, tuple[Any, ...]]:
    """How it is copied: made anew of its fields."""
    return type(one), tuple(getattr(one, name) for name in type(one).__dataclass_fields__)
