"""What the monitor says of a delivery."""

from __future__ import annotations

import msgspec

from clipbench.text.words import counted

TOO_FEW = 20  # pairs of which nothing is said


class Share(msgspec.Struct, frozen=True):
    """A share of pairs with its 95% Wilson interval."""

    k: int
    n: int
    value: float
    low: float
    high: float


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one question.

    Args:
        name: of the question.
        title: of it, for people.
        alarm: whether the delivery is different here.
        p_family: chance of as rare an answer to any question, for a delivery like earlier pairs.
        p: the same for this question alone.
        value: how much the delivery differs.
        usual: what 95 of 100 random parts of the same pairs stay below.
        sentence: what is different, how much; empty without an alarm.
        pairs: to look at, how many.
    """

    name: str
    title: str
    alarm: bool
    p_family: float
    p: float
    value: float
    usual: float
    sentence: str
    pairs: int


class Supplier(msgspec.Struct, frozen=True, kw_only=True):
    """What a supplier delivered.

    Args:
        name: of the supplier.
        new: share of the delivery.
        earlier: share of the held-out pairs.
        known: whether it delivered audited pairs.
        similarity: median of its new pairs that do not look audited; None: there are none.
        similarity_earlier: likewise of its held-out pairs.
    """

    name: str
    new: Share
    earlier: Share
    known: bool
    similarity: float | None
    similarity_earlier: float | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the monitor says.

    Args:
        data: the delivery.
        pairs: of it that can be used.
        left_out: pairs that can't, by reason.
        compared: pairs of the delivery that were compared.
        earlier: held-out pairs they were compared with.
        alpha: chance of an alarm for a delivery like earlier pairs, at most.
        divisions: random divisions.
        content_sha256: of the delivery.
        baseline_sha256: of the baseline.
        signed_by: who signed, of each folder of the delivery; None: nobody asked.
        below: share of compared pairs that do not look audited whose similarity is below the
            baseline's threshold; None: all look audited.
        below_earlier: likewise, of held-out pairs.
        seen_before: share of compared pairs that look like an audited one.
        findings: an answer to every question.
        suppliers: those with most compared pairs.
        notes: what could not be compared.
    """

    data: str
    pairs: int
    left_out: dict[str, int]
    compared: int
    earlier: int
    alpha: float
    divisions: int
    content_sha256: str
    baseline_sha256: str
    signed_by: dict[str, str] | None
    below: Share | None
    below_earlier: Share | None
    seen_before: Share
    findings: list[Finding]
    suppliers: list[Supplier]
    notes: list[str]

    @property
    def alarms(self) -> list[Finding]:
        """The questions in which the delivery is different, the rarest answer first."""
        return sorted((one for one in self.findings if one.alarm), key=lambda one: one.p_family)

    @property
    def summary(self) -> str:
        """What was found, in a sentence."""
        if not self.findings:
            return (
                f"{counted(self.compared, 'pair')} {'is' if self.compared == 1 else 'are'} too few"
                f" to say anything; from {TOO_FEW} on they are compared."
            )
        if not self.alarms:
            return (
                f"No alarm: in {len(self.findings)} respects the delivery is like earlier pairs, as"
                " far as so many pairs can show."
            )
        return (
            f"Alarm: the delivery is different in {len(self.alarms)} of {len(self.findings)}"
            " respects."
        )
