"""Plugins built with names and parameters that come out of results."""

from __future__ import annotations

# What building or using a registered plugin may end in where a stranger chose its parameters. One
# such row must not cost table or page: it goes without its short label, picture or command.
# A plugin is other people's code, which may raise what it likes.
REFUSALS = (Exception,)
