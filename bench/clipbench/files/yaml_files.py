"""YAML as configurations have it: text, read so that none is misclassified, hangs or fills memory.

A name for a part of a file may stand in it often, and in parts that have names themselves: a few
hundred bytes are then billions of values, to whoever looks at each. So what a file says is counted
with all that its names stand for, before anything is made of it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from clipbench.errors import BadSetting, MissingData
from clipbench.files.foreign import nothing_collected, read_regular
from clipbench.system import concealed

MOST_BYTES = 1 << 18  # a hundred times the largest grid
MOST_VALUES = 12_000
MOST_DEPTH = 32


def read(path: Path) -> Any:
    """Return what a YAML file says; None: nothing.

    Raises:
        MissingData: it can't be read.
        BadSetting: it is no YAML, or more than any configuration is.
    """
    where = path.resolve()
    try:
        text = read_regular(path, MOST_BYTES).decode("utf-8-sig")
        concealed.note(line.strip().strip("\"'") for line in text.splitlines())
        with nothing_collected():
            return _said(text)
    except OSError as error:
        raise MissingData(f"{where} can't be read: {error.strerror}.") from error
    # Dates, long numbers, explicit tags and deep nesting end in errors that are not YAML's.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise BadSetting(f"{where} is no valid YAML: {reason.rstrip('.')}.") from error


def _said(text: str) -> object:
    loader = _loader()(text)
    node = loader.get_single_node()
    if node is None:
        return None
    _check_size(node)
    return loader.construct_document(node)


def _check_size(node: yaml.Node) -> None:
    """Refuse a document of too many values, each counted as often as it is named.

    Raises:
        ValueError: it has too many, is nested too deeply, or holds itself.
    """
    sizes: dict[int, int] = {}

    def size(part: yaml.Node, depth: int) -> int:
        if depth > MOST_DEPTH:
            raise ValueError("it is nested too deeply, or holds itself")
        if id(part) not in sizes:
            inner: list[yaml.Node] = []
            if isinstance(part, yaml.SequenceNode):
                inner = part.value
            elif isinstance(part, yaml.MappingNode):
                inner = [node for pair in part.value for node in pair]
            total = 1
            for item in inner:
                total += size(item, depth + 1)
                if total > MOST_VALUES:
                    raise ValueError(f"it has more than {MOST_VALUES:,} values")
            sizes[id(part)] = total
        return sizes[id(part)]

    size(node, 0)


def _loader() -> Any:
    """Return the class that reads YAML as text, and refuses what would be read by halves."""

    class Loader(yaml.SafeLoader):
        """Refuses a key that is there twice, of which YAML would take the last."""

        def __init__(self, text: str) -> None:
            super().__init__(text)
            self._values, self._depth = 0, 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            """Read the next value; what comes after too many is not looked at."""
            self._values += 1
            self._depth += 1
            if self._values > MOST_VALUES:
                raise ValueError(f"it has more than {MOST_VALUES:,} values")
            if self._depth > MOST_DEPTH:
                raise ValueError("it is nested too deeply")
            found = super().compose_node(parent, index)
            self._depth -= 1
            return found

        def compose_mapping_node(self, anchor: dict[object, Any]) -> yaml.MappingNode:
            node = super().compose_mapping_node(anchor)
            seen = set()
            for key, _ in node.value:  # before `<<` brings in what these may replace
                name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None
                if name is not None and name in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} is there twice", key.start_mark
                    )
                seen.add(name)
            return node

    def number(loader: Loader, node: yaml.ScalarNode) -> int | str:
        text = str(loader.construct_scalar(node))
        if re.search(r":|^[+-]?0\d", text):  # YAML 1.1 counts 1:30 in sixties and 010 in eights
            return text  # which no setting takes for a number it is not
        return int(str(loader.construct_yaml_int(node)))  # one too long to be written is none

    def decimal(loader: Loader, node: yaml.ScalarNode) -> float | str:
        text = str(loader.construct_scalar(node))
        return text if ":" in text else float(loader.construct_yaml_float(node))

    Loader.add_constructor("tag:yaml.org,2002:int", number)
    Loader.add_constructor("tag:yaml.org,2002:float", decimal)
    return Loader
