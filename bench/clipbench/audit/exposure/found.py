"""What was found of exposure and price: counts, from which sentences and tables are made."""

from __future__ import annotations

import msgspec

from clipbench.evaluation.statistics import Proportion


class Trials(msgspec.Struct, frozen=True):
    """Trials, and how many of them succeeded.

    Args:
        k: successes.
        n: trials, at least 1.
    """

    k: int
    n: int

    @property
    def share(self) -> Proportion:
        """The share with its 95% Wilson interval."""
        return Proportion(self.k, self.n)


class Success(msgspec.Struct, frozen=True, kw_only=True):
    """How often an attack succeeded.

    Args:
        poisons: poisoned pairs: per target, or of the backdoor.
        read: images that are read as the class that the attacker wants.
        read_control: the same images, by the model of the clean pairs.
        found: images that find a caption of the attacker's before all held-out captions; None: the
            attack has none of its own.
        found_control: the same, by the model of the clean pairs.
    """

    poisons: int
    read: Trials
    read_control: Trials
    found: Trials | None = None
    found_control: Trials | None = None


class Difference(msgspec.Struct, frozen=True):
    """A difference of two shares of the same trials, with its 95% interval (Tango)."""

    value: float
    low: float
    high: float


class Usefulness(msgspec.Struct, frozen=True, kw_only=True):
    """What a model of clean pairs can do.

    Args:
        read: held-out images that are read as the class that their caption names.
        largest: share of the largest class, which a model that always says that reaches.
        to_text: held-out images that find their own caption first.
        to_text_10: likewise, among the first ten.
        read_to_clip: `read` less that of the defense ``clip``; None: this is it, or it was not run.
        to_text_to_clip: likewise of `to_text`.
    """

    read: Trials
    largest: float
    to_text: Trials
    to_text_10: Trials
    read_to_clip: Difference | None = None
    to_text_to_clip: Difference | None = None

    @property
    def weak(self) -> bool:
        """Whether the model may be no better than one that looks at nothing."""
        chance = 10 / self.to_text_10.n
        return self.read.share.low <= self.largest and self.to_text_10.share.low <= 2 * chance


class Defended(msgspec.Struct, frozen=True, kw_only=True):
    """A defense: what it let through, and what it cost.

    Args:
        defense: as it was asked for.
        epochs: that it was trained.
        seconds: of training, all runs together; on a CPU those that it computed, which other work
            on the machine does not lengthen.
        targeted: success by dose, the smallest first.
        backdoor: success of the backdoor.
        useful: what its model of the clean pairs can do.
        set_aside: pairs of the clean set that the last epoch did not match with their captions.
        canaries_set_aside: likewise, of the poisoned pairs of chosen images; None: the defense
            sets no pairs aside.
    """

    defense: str
    epochs: int
    seconds: float
    targeted: tuple[Success, ...]
    backdoor: Success
    useful: Usefulness
    set_aside: int
    canaries_set_aside: Trials | None = None


class Supplier(msgspec.Struct, frozen=True):
    """A supplier: its pairs that were trained on, and the poisoned ones put in their places."""

    name: str
    pairs: int
    canaries: int


class Exposure(msgspec.Struct, frozen=True, kw_only=True):
    """What an attacker would gain, and what defenses cost.

    Args:
        defended: an entry per defense, in the order in which they were asked for.
        pairs: that each training saw: fewer than were planned where some can't be used or are held
            out under another name.
        candidates: held-out captions among which images find theirs, or the attacker's.
        suppliers: with the most pairs first; empty: not known.
        refused: why nothing was measured; empty: something was.
    """

    defended: tuple[Defended, ...] = ()
    pairs: int = 0
    candidates: int = 0
    suppliers: tuple[Supplier, ...] = ()
    refused: str = ""
