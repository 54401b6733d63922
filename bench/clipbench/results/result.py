"""The result of one run: one JSON object, whole and checked, or no file at all."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from clipbench.errors import BadSetting, ClipbenchError, CorruptData, MissingData, Torn
from clipbench.files import sums
from clipbench.files.checks import Objection
from clipbench.files.foreign import parsed, read_regular
from clipbench.files.typed import Json
from clipbench.results.files import write_atomic
from clipbench.results.model import Result
from clipbench.system import threads
from clipbench.system.processor import processor
from clipbench.system.versions import version_of

__all__ = [
    "checked",
    "config_hash",
    "environment",
    "made",
    "parse_json",
    "read_result",
    "write_result",
]

_DISTRIBUTIONS = {
    "clipbench": "clipbench",
    "torch": "torch",
    "torchvision": "torchvision",
    "open_clip": "open_clip_torch",
    "webdataset": "webdataset",
    "sklearn": "scikit-learn",
    "numpy": "numpy",
    "pillow": "pillow",
    "pandas": "pandas",
    "pyarrow": "pyarrow",
}


def config_hash(config: Mapping[str, Json]) -> str:
    """Return the SHA-256 of a configuration's canonical JSON; the order of keys does not matter.

    Raises:
        BadSetting: if the configuration holds something that JSON cannot say.
    """
    try:
        # What a reader will get.
        return sums.of_json(json.loads(json.dumps(config, allow_nan=False)))
    except (TypeError, ValueError, RecursionError) as error:
        raise BadSetting(f"The configuration cannot be written as JSON: {error}.") from error


def checked(obj: Json, path: Path | None = None) -> Result:
    """Return the result that was read from a file; its checksum is no part of it.

    Args:
        obj: what the file holds.
        path: the file, for the message.

    Raises:
        CorruptData: naming the file, the first wrong field and what is wrong with it.
    """
    try:
        return _sound(obj)
    except (Objection, BadSetting) as error:
        raise CorruptData(
            f"{path or 'This result'} is no valid result: {error}; "
            "delete it and start the run again."
        ) from error


def _sound(obj: Json) -> Result:
    """Return a result whose hashes are those of what it says.

    Raises:
        Objection: it is none.
        BadSetting: its configuration holds something that JSON cannot say.
    """
    summed: Mapping[str, Json] = obj if isinstance(obj, Mapping) and sums.FIELD in obj else {}
    rest = {key: value for key, value in summed.items() if key != sums.FIELD}
    result = Result.of(rest or obj)
    if result.config_sha256 != config_hash(result.config):
        raise Objection("config_sha256", "must be the hash of config", result.config_sha256)
    if result.id != result.config_sha256[:16]:
        raise Objection("id", "must be the first 16 digits of config_sha256", result.id)
    if not sums.is_sound(summed):
        must = "must be the hash of all else (remove it if a change was meant)"
        raise Objection(sums.FIELD, must, summed[sums.FIELD])
    return result


def parse_json(path: Path) -> Json:
    """Return what a JSON file holds; NaN and infinity are not JSON.

    Raises:
        MissingData: if there is no such file, or it cannot be read now.
        Torn: if it is not JSON from beginning to end.
    """
    try:
        return parsed(read_regular(path))
    except FileNotFoundError as error:
        raise MissingData(f"There is no file {path}; check the path.") from error
    except OSError as error:
        raise MissingData(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # bad JSON or bad UTF-8
        remedy = "Name a result.json, or a folder of runs."
        if path.suffix == ".json":
            remedy = "If a run wrote it, delete it and start the run again."
        raise Torn(f"{path} cannot be read as JSON ({error}). {remedy}") from error


def read_result(path: Path) -> Result:
    """Return the result in a file.

    Raises:
        MissingData: if there is no such file.
        CorruptData: if it is no result.
    """
    return checked(parse_json(path), path)


def made(record: Mapping[str, Json], name: object) -> Result:
    """Return the result that a run made.

    Args:
        record: what ``result.json`` will hold.
        name: what it is called in messages: where it will be written, or of which run it is.

    Raises:
        BadSetting: it holds something that JSON cannot say.
        ClipbenchError: it is no result.
    """
    try:
        as_read = json.loads(json.dumps(record, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise BadSetting(f"{name} cannot be written as JSON: {error}.") from error
    try:
        return _sound(as_read)
    except (Objection, BadSetting) as error:
        # Nobody handed this in: it is the bench's fault, or that of a plugin it asked.
        raise ClipbenchError(
            f"{name} was not written, for what the run measured is no valid result: {error}; "
            "look at the attack, defense or metric that gives this number."
        ) from error


def write_result(path: Path, result: Result | Mapping[str, Json]) -> Path:
    """Check a result and write it, all of it or nothing.

    Args:
        path: where to.
        result: the result, or what the file will hold.

    Returns:
        The path.

    Raises:
        BadSetting: if it holds something that JSON cannot say.
        ClipbenchError: if it is no result, or the file system refuses.
    """
    record = result.record if isinstance(result, Result) else result
    text = json.dumps(sums.summed(made(record, path).record), indent=2, allow_nan=False)
    return write_atomic(path, f"{text}\n".encode())


def environment() -> dict[str, Json]:
    """Return versions, revision and hardware of this run; versions of absent packages are None."""
    versions = {name: version_of(distribution) for name, distribution in _DISTRIBUTIONS.items()}
    return {
        **versions,
        "clipbench": versions["clipbench"] or "unknown",
        "python": platform.python_version(),
        "git": _git_revision(),
        "hardware": {"cpu": processor(), "cores": threads.processors(), "gpus": _gpu_names()},
        "platform": platform.platform(),
    }


def _git_revision() -> str | None:
    """Return the commit of the checkout this code runs from, ``-dirty`` if changed, or None.

    Code installed elsewhere has none, even if that place lies inside somebody's repository.
    """
    root = Path(__file__).resolve().parents[3]
    git = shutil.which("git")
    if git is None or not (root / ".git").exists() or not (root / "bench" / "clipbench").is_dir():
        return None
    command = [
        git,
        "-C",
        str(root),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=40",
        "--exclude=*",
    ]
    try:
        answer = subprocess.run(  # noqa: S603  (git by its full path, with fixed arguments)
            command, capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None


def _gpu_names() -> list[str]:
    """Return the names of the GPUs torch sees; none if nothing has imported torch so far."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
