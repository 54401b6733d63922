"""What is measured, as results hold it: metrics, evaluation sets, what happened by epoch."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, structs, to_builtins

from clipbench.errors import CorruptData
from clipbench.evaluation.outcomes import count
from clipbench.evaluation.statistics import Proportion
from clipbench.files.checks import Objection
from clipbench.files.typed import Count, Number, Object, Positive, Sha256, Share, Text

PROPORTIONS = (
    "attack_success",
    "attack_success_control",
    "attack_success_top5",
    "poisoned_accuracy",
    "zeroshot_top1",
    "zeroshot_top5",
    "text_to_image_r1",
    "text_to_image_r5",
    "text_to_image_r10",
    "image_to_text_r1",
    "image_to_text_r5",
    "image_to_text_r10",
    "poison_kept",
)
SCALARS = ("attack_margin", "mean_per_class_recall", "score_auroc", "score_auprc")


class Part(Struct, frozen=True, omit_defaults=True):
    """Trials of a share that belong together, such as those of one trigger.

    Args:
        name: its name, another than those of the other parts.
        n: how many trials it has; parts follow one another in the order of the outcomes.
        value: share that succeeded, where that is told.
        k: how many of them succeeded, where that is told.
        low: lower bound of the share's 95% Wilson interval, where that is told.
        high: upper bound, where that is told.
    """

    name: Text
    n: Count
    value: Number | None = None
    k: Count | None = None
    low: Number | None = None
    high: Number | None = None

    @classmethod
    def of(cls, name: str, share: Proportion) -> Part:
        """Return a part whose share is told."""
        low, high = share.low, share.high
        return cls(name, share.n, value=share.value, k=share.k, low=low, high=high)


class Metric(Struct, frozen=True, kw_only=True):
    """One measured number.

    Args:
        value: the number; of a share k/n, in [0, 1].
        k: successes, where it is a share of counted trials.
        n: trials, or what else a number was computed from.
        low: lower bound of the share's 95% Wilson interval.
        high: upper bound.
        outcomes: which trials succeeded, a bit each in base64, see `clipbench.evaluation.outcomes`.
        parts: trials that belong together, all of them.
        parts_by: what a part is: a trigger, or a dose.
    """

    value: Number
    k: Count | None = None
    n: Count | None = None
    low: Number | None = None
    high: Number | None = None
    outcomes: str | None = None
    parts: tuple[Part, ...] | None = None
    parts_by: Text = "trigger"

    def __post_init__(self) -> None:
        if self.k is not None:
            self._check_share()

    @classmethod
    def of(cls, share: Proportion, outcomes: str | None = None) -> Metric:
        """Return a share as a metric."""
        low, high = share.low, share.high
        return cls(value=share.value, k=share.k, n=share.n, low=low, high=high, outcomes=outcomes)

    def to_json(self) -> dict[str, object]:
        """Return the metric as a result holds it."""
        told: dict[str, object] = {"value": self.value, "k": self.k, "n": self.n}
        told |= {"low": self.low, "high": self.high}
        if self.outcomes is not None:
            told["outcomes"] = self.outcomes
        if self.parts is not None:
            told["parts"] = to_builtins(list(self.parts))
            told |= {} if self.parts_by == "trigger" else {"parts_by": self.parts_by}
        return told

    @property
    def share(self) -> Proportion | None:
        """The share with its counts; None: it is a number without them."""
        return None if self.k is None or self.n is None else Proportion(self.k, self.n)

    def _check_share(self) -> None:
        """Refuse counts, bounds, parts or outcomes that do not fit together."""
        try:
            share = Proportion.from_json(structs.asdict(self))
        except CorruptData as error:
            raise Objection("", f"must be a share with its interval ({error})", self) from error
        if self.parts is not None:
            if sum(part.n for part in self.parts) != share.n:
                raise Objection("parts", f"must be of all {share.n} trials", self.parts)
            if len({part.name for part in self.parts}) < len(self.parts):
                raise Objection("parts", "must have a name of its own each", self.parts)
            told = [part.k for part in self.parts if part.k is not None]
            if told and (len(told), sum(told)) != (len(self.parts), share.k):
                raise Objection("parts", f"must have {share.k} successes, or not tell", self.parts)
        if self.outcomes is not None:
            try:
                succeeded = count(self.outcomes, share.n)
            except CorruptData as error:
                raise Objection("outcomes", f"are damaged ({error})", self.outcomes) from error
            if succeeded != share.k:
                raise Objection("outcomes", f"must have {share.k} successes", succeeded)


Metrics = Mapping[str, Metric]


def metrics_json(metrics: Metrics) -> dict[str, dict[str, object]]:
    """Return metrics as a result holds them."""
    return {name: metric.to_json() for name, metric in metrics.items()}


def check_shares(metrics: Metrics) -> None:
    """Refuse a metric that is a share and has no counts."""
    for name in PROPORTIONS:
        if name in metrics and metrics[name].k is None:
            must = "must be a share with its interval, which has counts k and n"
            raise Objection(f"metrics.{name}", must, metrics[name].value)


class Evaluation(Struct, frozen=True):
    """What was measured on one evaluation set.

    Args:
        name: of the set.
        metrics: by name.
    """

    name: Text
    metrics: Metrics

    def __post_init__(self) -> None:
        check_shares(self.metrics)

    def to_json(self) -> dict[str, object]:
        """Return name and metrics as a result holds them."""
        return {"name": self.name, "metrics": metrics_json(self.metrics)}


class Epoch(Struct, frozen=True, kw_only=True):
    """What happened in an epoch.

    Args:
        epoch: its number.
        pairs: that went through an optimizer step.
        cross_modal_pairs: those of them in a loss that ties image to caption.
        safe_set_size: pairs that the defense took for safe.
        poisons_in_safe_set: poisoned pairs among them.
        poisons_in_epoch: poisoned pairs of the epoch.
        score_auroc: how well the defense's scores detect poisoned pairs.
        score_auprc: the same by precision and recall.
        attack_success: measured on the weights of this epoch.
        zeroshot_top1: measured on the weights of this epoch.
        lr: learning rate at the end.
        loss: mean loss by phase.
    """

    epoch: Count
    pairs: Count | None = None
    cross_modal_pairs: Count | None = None
    safe_set_size: Count | None = None
    poisons_in_safe_set: Count | None = None
    poisons_in_epoch: Count | None = None
    score_auroc: Share | None = None
    score_auprc: Share | None = None
    attack_success: Metric | None = None
    zeroshot_top1: Metric | None = None
    lr: Positive | None = None
    loss: Mapping[str, Number | None] | None = None

    def __post_init__(self) -> None:
        kept, total = self.poisons_in_safe_set, self.safe_set_size
        if kept is not None and total is not None and kept > total:
            raise Objection("poisons_in_safe_set", f"must be at most {total}", kept)
        for name in ("attack_success", "zeroshot_top1"):
            share: Metric | None = getattr(self, name)
            if share is not None and share.k is None:
                raise Objection(name, "must be a share with its interval", share.value)

    def to_json(self) -> dict[str, object]:
        """Return what is known of the epoch, as a result holds it."""
        counts = ("pairs", "cross_modal_pairs", "safe_set_size", "poisons_in_safe_set")
        scores = ("poisons_in_epoch", "score_auroc", "score_auprc")
        known = {name: getattr(self, name) for name in (*counts, *scores)}
        shares = {"attack_success": self.attack_success, "zeroshot_top1": self.zeroshot_top1}
        return {
            "epoch": self.epoch,
            "loss": self.loss,
            "lr": self.lr,
            **{name: value for name, value in known.items() if value is not None},
            **{name: share.to_json() for name, share in shares.items() if share is not None},
        }


class MetricPlugin(Struct, frozen=True, omit_defaults=True):
    """A metric beside those that every run has.

    Args:
        name: its name.
        parameters: its parameters.
        code_sha256: hash of its file; null: it is installed.
        packages: SHA-256 of the code of each other package that it is of, by name.
        metrics: names of the metrics that it gave; older results don't say.
    """

    name: Text
    parameters: Object
    code_sha256: Sha256 | None
    packages: Mapping[str, Sha256] = {}
    metrics: tuple[Text, ...] = ()

    @property
    def version(self) -> MetricPlugin:
        """What it is, whatever it gave."""
        return structs.replace(self, metrics=())
