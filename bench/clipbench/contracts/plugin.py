"""Base of plugins whose parameters are checked when they are made."""

from __future__ import annotations

from typing import ClassVar

from clipbench.parameters.idle import Idle
from clipbench.parameters.limits import check_fields


class Plugin:
    """A frozen dataclass derives from it to have its parameters checked however it is made.

    Named on the command line, a plugin's parameters are checked anyway. Derived from this class,
    ``BadNets(size=2.0)`` in a program is refused, too. A class that has rules of its own, such as
    one between two parameters, begins its ``__post_init__`` with ``super().__post_init__()``.

    Attributes:
        idle: when which of its parameters do nothing, so that nobody sets them in vain.
        idle_within: the same of parameters of plugins that its parameters name.
    """

    idle: ClassVar[tuple[Idle, ...]] = ()
    idle_within: ClassVar[tuple[Idle, ...]] = ()

    def __post_init__(self) -> None:
        """Refuse a parameter outside of the range that its annotation declares.

        Raises:
            BadSetting: naming the parameter, the allowed range and the value.
        """
        check_fields(self, name_in_messages(type(self)))


def name_in_messages(cls: type) -> str:
    """Return the name of a plugin's class: its own, that of its file, or of the class."""
    own = getattr(cls, "name", None)
    if isinstance(own, str):
        return own
    file = cls.__module__.rpartition(".")[2]
    return cls.__name__ if file == "__main__" else file
