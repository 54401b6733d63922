"""Counts as people say them, and defenses as they are called in sentences."""

from __future__ import annotations

from clipbench.audit.exposure.found import Defended, Difference, Exposure, Trials
from clipbench.plugins import registry
from clipbench.text.words import counted

_CALLED = {
    "none": "plain training",
    "clip": "clip (augmented images and captions alone)",
    "safeclip": "SafeCLIP",
    "roclip": "RoCLIP",
    "cleanclip": "CleanCLIP",
}


def called(defense: str) -> str:
    """Return how a defense is called in a sentence."""
    return _CALLED.get(defense, defense)


def trained(item: Defended) -> str:
    """Return how a defense is called, and how long it was trained: what is compared must be."""
    name, epochs = called(item.defense), counted(item.epochs, "epoch")
    return f"{name[:-1]}, {epochs})" if name.endswith(")") else f"{name} ({epochs})"


def name_of(defense: str) -> str:
    """Return the name of a defense without its parameters."""
    return registry.short_name(registry.parse("defense", defense).name)


def told(trials: Trials, noun: str = "") -> str:
    """Return trials in words: ``14 of 16 (88%, 64 to 97%)``.

    Args:
        trials: how many succeeded.
        noun: what they are called; empty: the sentence has said so.
    """
    return f"{trials.k:,} of {trials.n:,}{' ' if noun else ''}{noun} ({percent(trials)})"


def percent(trials: Trials) -> str:
    """Return a share with its 95% interval: ``88%, 64 to 97%``."""
    share = trials.share
    return f"{100 * share.value:.0f}%, {100 * share.low:.0f} to {100 * share.high:.0f}%"


def points(difference: Difference) -> str:
    """Return a difference of shares with its 95% interval: ``-2.0 points, -4.1 to +0.2``."""
    value, low, high = (100 * part for part in (difference.value, difference.low, difference.high))
    return f"{value:+.1f} points, {low:+.1f} to {high:+.1f}"


def plain(exposure: Exposure) -> Defended | None:
    """Return what plain training let through; None: it was not run."""
    return _named(exposure, "none")


def augmented(exposure: Exposure) -> Defended | None:
    """Return what plain training with augmented images and captions let through, or None.

    Defenses augment as well, so that what they do beyond that is told by it alone.
    """
    return _named(exposure, "clip")


def _named(exposure: Exposure, name: str) -> Defended | None:
    return next((item for item in exposure.defended if name_of(item.defense) == name), None)
