"""The held-out data of a run: what `--eval` names, or what the training source itself holds out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from clipbench.boundary import datasets
from clipbench.contracts import EvaluationSet, EvaluationSource, LabelledImages, Scene
from clipbench.errors import BadSetting
from clipbench.fetching.remote import is_remote
from clipbench.fetching.sources import expand
from clipbench.plugins import registry
from clipbench.plugins.find import missing_members
from clipbench.plugins.part import Part
from clipbench.plugins.spec import SpecLike
from clipbench.text.locations import split


@dataclass(frozen=True)
class HeldOut:
    """Several evaluation sources, of which the first fit for a task is the one reported first.

    Args:
        sources: the sources, at least one.
    """

    sources: tuple[EvaluationSource, ...]

    @classmethod
    def of(cls, data: SpecLike, evals: Sequence[SpecLike]) -> HeldOut:
        """Return the held-out data of a training source and of the evaluation sources named.

        Raises:
            MissingData: shards that are named are not there.
            BadSetting: none are named and the training source holds nothing out, or a source that
                is named has nothing to evaluate on.
        """
        if evals:
            return cls(tuple(_evaluation_source(spec, "") for spec in evals))
        hint = "; name evaluation sources with --eval, e.g. --eval imagenet:root=FOLDER"
        return cls((_evaluation_source(data, hint),))

    @cached_property
    def sets(self) -> tuple[EvaluationSet, ...]:
        """The evaluation set of every source."""
        return tuple(datasets.evaluation(source) for source in self.sources)

    @cached_property
    def primary(self) -> EvaluationSet:
        """The first classification and the first retrieval task, whose metrics come first.

        An attack's success is read among the classes of this classification.
        """
        if len(self.sets) == 1:
            return self.sets[0]
        classifying = next((item for item in self.sets if item.classification), None)
        retrieving = next((item for item in self.sets if item.retrieval), None)
        names = dict.fromkeys(item.name for item in (classifying, retrieving) if item)
        return EvaluationSet(
            "+".join(names),
            classifying.classification if classifying else None,
            retrieving.retrieval if retrieving else None,
        )

    @cached_property
    def targets(self) -> LabelledImages:
        """The images an attacker may target, labelled with the primary's classes."""
        for source, item in zip(self.sources, self.sets, strict=True):
            if item.classification is not None:
                return datasets.targets(source)
        return datasets.targets(self.sources[0])

    def scene(self, count: int, seed: int) -> Scene:
        """Return what an attacker with `count` poisons knows."""
        return Scene(self.primary, lambda: self.targets, count, seed)


def _check_shards(spec: SpecLike) -> None:
    """Tell first that shards are not there, or what is there instead, before what they lack.

    Raises:
        MissingData, BadSetting: see `clipbench.fetching.sources.expand`.
    """
    parsed = registry.parse("dataset", spec)
    path = parsed.parameters.get("path")
    if parsed.name == registry.SHARDS and isinstance(path, str) and not is_remote(path):
        expand("::".join(str(Path(part).expanduser()) for part in split(path)))


def _evaluation_source(spec: SpecLike, hint: str) -> EvaluationSource:
    if missing_members(registry.load("dataset", spec), "EvaluationSource"):
        _check_shards(spec)
        name = registry.short_name(registry.parse("dataset", spec).name)
        raise BadSetting(f"The data set {name!r} has training pairs and no test images{hint}.")
    return Part[EvaluationSource].of("dataset", spec).plugin
