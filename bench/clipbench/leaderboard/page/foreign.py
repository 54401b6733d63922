"""Plugins built with names and parameters that come out of results."""

from __future__ import annotations

from clipbench.errors import ClipbenchError

# What building or using a registered plugin may end in where a stranger chose its parameters. One
# such row must not cost the page: it goes without its picture or command.
REFUSALS = (
    ClipbenchError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
)
