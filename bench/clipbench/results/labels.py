"""Short names of what was run, safe to print whatever a name or parameter holds."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from clipbench.files.typed import Json, Object
from clipbench.results.model import Attack, Data, Defense, Model, Result
from clipbench.text.locations import content_in, get
from clipbench.text.visible import quoted, unmistakable

Defaults = Callable[[str, str], Object | None]  # (kind, name) -> default parameters

# Settings that decide which run it is, where it happens and what is kept of it, but not what is
# computed; and those that say once more what a result says of its attack. They are so at the top
# and among the training settings alone: the seed of a data set decides which pairs there are.
INCIDENTAL = frozenset(
    {
        *("seed", "workers", "decode_cache_gb", "device", "tensorboard", "save_frequency"),
        *("checkpoint_every_s", "explicit", "rate_text", "poisons", "poison_seed"),
    }
)

# What a label says of the classes and prompts that images were read by, where they differ.
ASKED = ("test_classes", "test_prompts")

# Values that need no quotes: words with one blank between them.
_PLAIN = re.compile(r"[\w./~@:+*%'&!?;-]+(?: [\w./~@:+*%'&!?;-]+)*", re.ASCII)

Kind = Literal["attack", "defense", "data", "model"]
KINDS: tuple[Kind, ...] = ("attack", "defense", "data", "model")


def canonical(value: object) -> str:
    """Return one text a value, equal for equal values."""
    return json.dumps(value, sort_keys=True)


def label(name: str, shown: Object) -> str:
    """Return a name with parameters, e.g. ``targeted (targets=16)``.

    Another name, parameter or value gives another text, and none that looks the same, but where two
    hashes begin alike or values differ in their type alone: a row may be a stranger's, and must not
    pass for another's.
    """
    parts = ", ".join(f"{unmistakable(key)}={_compact(value)}" for key, value in shown.items())
    return f"{unmistakable(name)} ({parts})" if parts else unmistakable(name)


def rate_text(rate: float) -> str:
    """Return a poison rate as people say it: ``0.8%``, ``1e-6``."""
    return f"{100 * rate:.3g}%" if rate >= 1e-4 else f"{rate:g}".replace("e-0", "e-")


def _compact(value: Json) -> str:
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    if isinstance(value, str):
        hashed = re.fullmatch(r"(?:sha256:)?([0-9a-f]{8})[0-9a-f]{56}", value)
        if hashed:
            return hashed[1]
        return value if _PLAIN.fullmatch(value) else quoted(value)
    return json.dumps(value)


def settings(config: Object, prefix: str = "") -> dict[str, Json]:
    """Return a configuration as dotted names and values, without what is incidental."""
    flat: dict[str, Json] = {}
    for name, value in config.items():
        if name in INCIDENTAL and prefix in ("", "train."):
            continue
        if isinstance(value, Mapping):
            flat |= settings(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def precision_of(result: Result) -> str | None:
    """Return what a result's model was trained in; None: nothing was trained, or it does not say.

    Its configuration may not say it: older ones hold ``auto``.
    """
    return None if result.train is None else result.train.precision


def seeds_of(result: Result) -> tuple[int | None, int | None]:
    """Return the seed of a result's training, and that of its attack's draws."""
    return result.seed, result.seed if result.poison_seed is None else result.poison_seed


def seeds_text(result: Result) -> str:
    """Return the seeds of a result: ``0``, or ``0 with poison seed 3`` where they are two."""
    seed, of_poison = seeds_of(result)
    return f"{seed}" if of_poison == seed else f"{seed} with poison seed {of_poison}"


def differing(tables: Iterable[Object]) -> set[str]:
    """Return the keys that are not in all tables, or not with the same value."""
    values: dict[str, set[str]] = defaultdict(set)
    count = 0
    present: dict[str, int] = defaultdict(int)
    for table in tables:
        count += 1
        for key, value in table.items():
            values[key].add(canonical(value))
            present[key] += 1
    return {key for key in values if len(values[key]) > 1 or present[key] < count}


def part_of(kind: Kind, result: Result) -> Attack | Defense | Data | Model:
    """Return what a result says of its attack, defense, data or model."""
    part: Attack | Defense | Data | Model = getattr(result, kind)
    return part


class Labels:
    """Labels of attacks, defenses, models and data sets that tell the given results apart.

    A parameter is shown where it is not at its default, or where its default is not known, as of a
    plugin in a file.

    Args:
        results: all results of the table.
        defaults: returns the default parameters of a plugin, or None where it does not know them.
    """

    def __init__(self, results: Iterable[Result], defaults: Defaults | None = None) -> None:
        self._defaults = defaults
        results = list(results)
        self._names = _names(results)
        tables: dict[tuple[Kind, str], list[Object]] = defaultdict(list)
        for result in results:
            for kind in KINDS:
                tables[kind, part_of(kind, result).name].append(self._facts(kind, result))
        self._differing = {key: differing(found) for key, found in tables.items()}

    def shown(self, kind: Kind, result: Result) -> dict[str, Json]:
        """Return what the label of a result's attack, defense, data or model shows of it."""
        part, facts = part_of(kind, result), self._facts(kind, result)
        name = part.name
        apart = {key: facts[key] for key in facts if key in self._differing[kind, name]}
        if self._defaults is None or isinstance(part, Model):
            return apart
        defaults = self._defaults(kind, name) or {}
        changed = {
            key: value
            for key, value in sorted((part.parameters or {}).items())
            if key not in defaults or canonical(value) != canonical(defaults[key])
        }
        # What tells results apart comes first: a narrow table may cut the rest.
        told = {*changed, "evaluation", *ASKED}
        first = {key: apart[key] for key in apart if key in told}
        shown = first | changed
        return {key: self._named(value, key) for key, value in shown.items()}

    def _named(self, value: Json, key: str = "") -> Json:
        """Return a value; of a content, the short name of what has it, and the hash's beginning.

        Args:
            value: of a parameter.
            key: the parameter: several of a data set have one content, that of all they read.
        """
        content = content_in(value)
        names = self._names.get(content, {}) if content else {}
        name = names.get(key) or min(names.values(), default=None)
        return value if content is None or name is None else f"{name}@{content[:8]}"

    def _facts(self, kind: Kind, result: Result) -> dict[str, Json]:
        part = part_of(kind, result)
        if isinstance(part, Model):
            content = content_in(get(result.config, "train.model"))  # of a file, which has any name
            told = {} if content is None else {"content": content}
            return {"image_size": part.image_size, **told, "precision": precision_of(result)}
        facts = dict(sorted((part.parameters or {}).items()))  # a file may have any order
        if kind == "data":
            facts["evaluation"] = result.data.evaluation.name
            if contents := contents_of_tests(result.config):  # which a folder's name is not
                facts["evaluation"] = "+".join(map(str, map(self._named, contents)))
            facts |= dict(zip(ASKED, asked_of(result), strict=True))
        return facts

    def of(self, kind: Kind, result: Result) -> str:
        """Return the label of a result's attack, defense, data or model."""
        return label(part_of(kind, result).name, self.shown(kind, result))


def asked_of(result: Result) -> tuple[str | None, str | None]:
    """Return hashes of the classes and of the prompts that a result's images were read by."""
    tests = result.data.evaluation
    return tests.classes_sha256, tests.templates_sha256


def contents_of_tests(config: Object) -> list[str]:
    """Return what the evaluation sources of a configuration are, where it says so."""
    evals = config.get("evals")
    specs = [spec for spec in evals if isinstance(spec, Mapping)] if isinstance(evals, list) else []
    found = [next(filter(content_in, spec.values()), None) for spec in specs]
    return [content for content in found if content is not None]


def _names(results: Iterable[Result]) -> dict[str, dict[str, str]]:
    """Return short names by content and parameter: one for all results, whatever each says."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for result in results:
        for field, name in result.names.items():
            content, key = content_in(get(result.config, field)), field.rpartition(".")[2]
            if content is not None:
                found[content][key] = min(found[content].get(key, name), name)
    return dict(found)
