"""Plugins built with names and parameters that come out of results."""

from __future__ import annotations

from clipbench.errors import ClipbenchError

# What building or using a registered plugin may end in where a stranger chose its parameters. One
# such row must not cost table or page: it goes without its short label, picture or command.
REFUSALS = (
    ClipbenchError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
