"""The runs of a sweep, as a YAML file says.

```yaml
data: shapes            # at the top: what all blocks have in common
controls: true
grid:                   # each block is a product of its lists; the sweep is all blocks together
  - attack: [badnets, sig]
    rate: 0.5%
    defense: [none, clip, safeclip]
    seed: [0, 1, 2]
  - attack: blended
    rate: [1%, 2%]
    defense: none
exclude:                # runs to leave out: those that match all that an entry says
  - attack: sig
    defense: safeclip
    seed: 2
```
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from clipbench.configuration import preflight
from clipbench.configuration.config import RunConfig
from clipbench.configuration.request import (
    DEFAULT_OUT,
    KEYS,
    Request,
    check_names,
    combine,
    default_cache,
    read_yaml,
    several,
)
from clipbench.errors import BadSetting, UnknownName
from clipbench.parameters.rate import Rate
from clipbench.parameters.values import coerce, underscored
from clipbench.plugins import registry
from clipbench.plugins.find import Kind
from clipbench.plugins.part import Part
from clipbench.plugins.spec import spec_like
from clipbench.results.result import config_hash

LISTS = ("data", "model")  # that a block may have several of, beside what `run` takes several of
PLUGINS: Mapping[str, Kind] = {"attack": "attack", "defense": "defense", "data": "dataset"}
GRID_KEYS = ("grid", "exclude", "model")  # at the top, beside what `run` takes
_OF_ALL = ("out", "cache", "threads")  # which a sweep has one of
# Of a block: what `run` takes but for these.
BLOCK_KEYS = (*(key for key in KEYS if key not in _OF_ALL), "model")
SELECTORS = (*PLUGINS, "rate", "poisons", "seed", "poison_seed", "model")


@dataclass(frozen=True)
class Grid:
    """The runs of a sweep.

    Args:
        configs: the runs, each once, controls among them.
        out: folder of the runs.
        cache: folder of clean and poisoned shards.
        threads: of each run; none: the processors are dealt out.
    """

    configs: tuple[RunConfig, ...]
    out: Path = DEFAULT_OUT
    cache: Path = field(default_factory=default_cache)
    threads: int | None = None

    @property
    def groups(self) -> list[list[RunConfig]]:
        """The runs by what they train on; what runs of a group share is made once.

        Clean sets come first, for their models are the controls of all others.
        """
        found: dict[str, list[RunConfig]] = {}
        for config in self.configs:
            found.setdefault(trained_on(config), []).append(config)
        return sorted(found.values(), key=lambda group: not group[0].is_clean)


def trained_on(config: RunConfig) -> str:
    """Return what stands for pairs, model and seed of a run."""
    told = config.by_content()
    amount = [told["rate_text"], told["poisons"], config.seed, config.poison_seed]
    return config_hash(
        {"data": told["data"], "attack": told["attack"], "of": [*amount, config.train.model]}
    )


def read_grid(
    path: Path,
    above: Mapping[str, object] | None = None,
    below: Mapping[str, object] | None = None,
    others: Sequence[str] = (),
    allowed: Collection[str] = (),
) -> Grid:
    """Return the sweep that a YAML file says.

    Args:
        path: the file.
        above: values by the names of the file's top, which go before all that it says.
        below: likewise, which all that it says goes before.
        others: keys at the file's top that are not of the grid, and are left alone.
        allowed: code, addresses and commands that the file may name.

    Raises:
        MissingData: there is no such file.
        BadSetting, UnknownName: it is no grid, has an unknown key, names what is not allowed, or
            leaves nothing to do.
    """
    content = read_yaml(path, (*KEYS, *GRID_KEYS, *others), allowed)
    content = {key: value for key, value in content.items() if key not in others}
    blocks = tables(content.pop("grid", [{}]), f"grid in {path}", BLOCK_KEYS)
    excluded = tables(content.pop("exclude", []), f"exclude in {path}", SELECTORS)
    for block in (*blocks, *excluded):
        check_names(block, allowed, f" of a block in {path}")
    configs: dict[str, RunConfig] = {}
    requests = [
        request
        for block in blocks
        for request in _requests([above or {}, block, content, below or {}])
    ]
    for request in requests:
        request.check_start()
        preflight.check(request)
        for config in replace(request, controls=False).configs():
            if any(matches(config, entry) for entry in excluded):
                continue
            controls = config.controls() if request.controls else []
            kept = [run for run in controls if not any(matches(run, entry) for entry in excluded)]
            for run in [*kept, config]:
                known = configs.setdefault(run.sha256(), run)
                more = [spec for spec in run.metrics if spec not in known.metrics]
                # A run is the same one whatever is measured of it; each block has its metrics.
                configs[run.sha256()] = replace(known, metrics=(*known.metrics, *more))
    if not configs:
        raise BadSetting(f"{path} leaves no run to do; see what exclude says.")
    first = requests[0]
    return Grid(tuple(configs.values()), first.out, first.cache, first.threads)


def tables(value: object, where: str, keys: Sequence[str]) -> list[dict[str, object]]:
    """Return a list of mappings with known keys, in which `-` stands for `_`.

    Args:
        value: what the file has there.
        where: the place, for the message.
        keys: what each of them may have.

    Raises:
        BadSetting, UnknownName: it is no such list, or has another key.
    """
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise BadSetting(f"{where} must be a list of blocks such as `- attack: badnets`.")
    found = [underscored(item, f" of a block of {where}") for item in value]
    for item in found:
        for key in item:
            if key not in keys:
                raise UnknownName(f"key of {where}", key, keys)
    return found


def _requests(layers: Sequence[Mapping[str, object]]) -> Iterator[Request]:
    """Yield a request for each data set and model that the layers name, the first the strongest."""
    found: dict[str, tuple[object, ...]] = {}
    for layer in layers:
        train = layer.get("train")
        if isinstance(train, Mapping) and "model" in train:
            if "model" in layer:
                raise BadSetting("Give model or train.model, not both in one place.")
            found.setdefault("model", (train["model"],))
        for key in LISTS:
            if key in layer:
                found.setdefault(key, several(layer[key], key))
    rest = [{key: value for key, value in layer.items() if key not in LISTS} for layer in layers]
    for choice in itertools.product(*found.values()):
        chosen: dict[str, object] = dict(zip(found, choice, strict=True))
        if "model" in chosen:
            chosen["train"] = {"model": chosen.pop("model")}
        yield combine(chosen, *rest)


def matches(config: RunConfig, entry: Mapping[str, object]) -> bool:
    """Return whether a run is all that an entry says, by the names in `SELECTORS`."""
    for key, value in entry.items():
        if not any(_is(config, key, one) for one in several(value, key)):
            return False
    return True


def _is(config: RunConfig, key: str, value: object) -> bool:
    if key in PLUGINS:
        kind, own = PLUGINS[key], getattr(config, key)
        given = registry.parse(kind, spec_like(value, key))
        filled = Part[object].of(kind, given).parameters
        return own.name == given.name and all(
            own.parameters.get(k) == filled.get(k)
            for k in given.parameters  # None: at a default left out
        )
    if key == "rate":
        return config.rate == Rate.of(str(value))
    if key == "model":
        return config.train.model == str(value)
    own = config.seed_of_poison if key == "poison_seed" else getattr(config, key)
    return bool(own == coerce(value, int, key))
