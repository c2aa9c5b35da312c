"""YAML from outside, read within limits: the values that its aliases repeat are counted before it is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import yaml

MAX_CHARACTERS = 32 * 1024**2
MOST_REPEATED = 10
"""How many times its own values aliases and merge keys may repeat in a document."""
MAX_DEPTH = 100
"""libyaml ends the process at some thousands."""
SMALL = 10_000
"""Values that any document may have."""


def read_yaml(text: str, loader: type[Any]) -> Any:
    """The document. Raises ValueError for text that is not YAML, or larger than is read."""
    from yaml import YAMLError, parse
    from yaml.events import CollectionEndEvent, CollectionStartEvent

    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"it is larger than {MAX_CHARACTERS // 1024**2} MiB")
    depth = 0
    try:
        for event in parse(text, loader):
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise ValueError("it is nested too deep")
        reader = loader(text)
        try:
            node = reader.get_single_node()
            sizes: dict[int, int] = {}
            if node is not None and _size(node, sizes) > max(SMALL, MOST_REPEATED * len(sizes)):
                raise ValueError(f"its aliases repeat it more than {MOST_REPEATED} times")
            return None if node is None else reader.construct_document(node)
        finally:
            reader.dispose()
    except YAMLError as error:
        raise ValueError(str(error)) from None


def _size(node: yaml.Node, sizes: dict[int, int]) -> int:
    """The number of its values with those that aliases repeat, by the known sizes of nodes. Raises ValueError for a
    cycle."""
    key = id(node)
    if key not in sizes:
        sizes[key] = 0
        parts = node.value if isinstance(node.value, list) else []
        inner = (child for part in parts for child in (part if isinstance(part, tuple) else (part,)))
        sizes[key] = 1 + sum(_size(child, sizes) for child in inner)
    if sizes[key] == 0:
        raise ValueError("an alias in it refers to itself")
    return sizes[key]
