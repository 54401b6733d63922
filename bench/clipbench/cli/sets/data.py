"""``clipbench data``: write a data set's clean shards for any program; import pairs from files."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from clipbench.api.work import reporter_for
from clipbench.cli import _executors as executors
from clipbench.cli import _options as options
from clipbench.cli import _requests as requests
from clipbench.cli._custody import logged
from clipbench.cli._output import print_json, print_place
from clipbench.errors import BadSetting
from clipbench.plugins import registry
from clipbench.system.durable import clear_leftovers, make_folder, publish, unfinished
from clipbench.text.words import counted

WRITE = "write"


class _DataGroup(click.Group):
    """A group in which ``write`` may be left out: ``data shapes`` is ``data write shapes``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = [WRITE, *args]
        return super().parse_args(ctx, args)


_MANIFEST = "manifest.json"  # as `clipbench.shards.manifest` has it, which brings numpy


@click.group("data", cls=_DataGroup)
def command() -> None:
    """Write the clean shards of a data set, or import pairs.

    `clipbench data shapes` is short for `clipbench data write shapes`.
    """


@command.command(WRITE, cls=options.Command)
@click.argument("spec", metavar="DATASET")
@options.option(
    "--size",
    metavar="N",
    envvar=f"{options.PREFIX}_DATA_SIZE",
    show_default="the data set's",
    help="Number of pairs.",
)
@options.option(
    "--set",
    "settings",
    multiple=True,
    envvar=f"{options.PREFIX}_DATA_SET",
    metavar="PARAMETER=VALUE",
    show_default="none",
    help="Any other parameter of the data set. Repeatable.",
)
@options.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    envvar=f"{options.PREFIX}_DATA_OUT",
    show_default="in the cache",
    help="Folder for the shards; must be new or empty.",
)
@options.cache_option
@options.quiet_option
def write(
    *,
    spec: str,
    size: str | None,
    settings: tuple[str, ...],
    out: Path | None,
    cache: Path,
    quiet: bool,
) -> None:
    """Write the clean shards of a data set.

    DATASET is a name with parameters, e.g. shapes or shapes:image_size=64. Any program that reads
    WebDataset can use the shards. Prints their folder.
    """
    parsed = registry.parse("dataset", spec)
    own = requests.assignments(settings, "--set")
    given: dict[str, object] = {**parsed.parameters, **own}
    if size is not None:
        if own.get("size", size) != size:
            raise BadSetting(
                f"size is given twice, {size} by --size and {own['size']} by --set; give it once."
            )
        given["size"] = size
    if out is not None and out.is_dir() and any(out.iterdir()) and not (out / _MANIFEST).is_file():
        raise _taken(out)
    dataset = registry.build("dataset", {**given, "name": parsed.name})
    if not hasattr(dataset, "prepare"):
        raise BadSetting(
            f"The data set {registry.short_name(parsed.name)!r} has no training pairs."
        )
    with reporter_for(quiet) as reporter:
        from clipbench.boundary import datasets  # noqa: PLC0415 - brings numpy

        made = datasets.prepare(dataset, cache, reporter.progress)
        folder = Path(made)
        if out is not None:
            if not folder.is_dir():
                raise BadSetting(
                    f"{made} is no folder of shards that could be copied; write clean shards of it"
                    " with `clipbench data import`."
                )
            _publish(folder, out.resolve())  # "." has no name to which anything could be added
    print_place(made if out is None else out)


@command.command("index", cls=options.Command)
@click.argument("spec", metavar="DATASET")
@options.option(
    "--model",
    envvar=None,
    metavar="NAME",
    show_default="none",
    help="Also make the table of captions that training this model reads.",
)
@options.on_error_option
@executors.shards_options
@options.cache_option
@options.json_option
@options.quiet_option
def index(
    *,
    spec: str,
    model: str | None,
    on_error: str,
    executor: str,
    slurm_settings: tuple[str, ...],
    tasks: int,
    cache: Path,
    as_json: bool,
    quiet: bool,
) -> None:
    """Index shards ahead of use: hashes, usable pairs, captions.

    Other commands would do this when they first meet the shards. Results are kept per shard, so the
    same command resumes after an interruption; --executor shares the work among machines. DATASET
    is a source of training pairs, e.g. the folder of the shards.
    """
    policy = requests.on_error_of(on_error)
    executors.check_spread(executor)
    source = registry.build("dataset", spec)
    if not hasattr(source, "prepare"):
        name = registry.short_name(registry.parse("dataset", spec).name)
        raise BadSetting(f"The data set {name!r} has no training pairs.")
    from clipbench.pipeline.indexing import index_source  # noqa: PLC0415 - heavy

    with (
        reporter_for(quiet) as reporter,
        executors.spread(executor, slurm_settings, tasks, cache),
    ):
        usable = index_source(
            source, cache, model=model, on_error=policy, progress=reporter.progress
        )
        pairs, shards = len(usable.shards), len(usable.shards.shards)
        reporter.note(f"{counted(pairs, 'pair')} in {counted(shards, 'shard')}")
        if usable.left_out:
            reporter.note(usable.summary())
    content = usable.shards.content_sha256()
    if as_json:
        told = {"pairs": pairs, "shards": shards, "left_out": dict(usable.left_out)}
        print_json({**told, "content_sha256": content})
    else:
        print_place(content)


def _publish(folder: Path, out: Path) -> None:
    """Give `out` the files of `folder`, all at once; hard links where the system can."""
    from clipbench.files.json_files import link_or_copy  # noqa: PLC0415 - imports numpy

    if out.is_dir() and any(out.iterdir()):
        if _holds(out, folder):  # by this command, killed when it was done, or by another at once
            return
        raise _taken(out)
    make_folder(out.parent)
    clear_leftovers(out.parent)
    temporary = unfinished(out)
    temporary.mkdir()
    try:
        for file in sorted(folder.iterdir()):
            if file.is_file() and not file.name.startswith("."):
                link_or_copy(file, temporary / file.name)
        publish(temporary, out)
    except OSError:
        if not _holds(out, folder):
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _holds(out: Path, folder: Path) -> bool:
    """Return whether a folder holds the set of another one, and all of it."""
    files = [f for f in folder.iterdir() if f.is_file() and not f.name.startswith(".")]
    there = [out / file.name for file in files]
    manifests = [place / _MANIFEST for place in (out, folder)]
    if not all(path.is_file() for path in manifests):
        return False
    return manifests[0].read_bytes() == manifests[1].read_bytes() and all(
        new.is_file() and new.stat().st_size == old.stat().st_size
        for old, new in zip(files, there, strict=True)
    )


def _taken(out: Path) -> BadSetting:
    return BadSetting(f"The folder {out.resolve()} is not empty; choose another.")


@command.command("import", cls=options.Command)
@click.argument("spec", metavar="DATASET")
@options.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    envvar=f"{options.PREFIX}_IMPORT_OUT",
    show_default=False,
    help="Folder for the shards; the same command resumes an interrupted import.",
)
@options.option(
    "--workers",
    type=click.IntRange(min=0),
    envvar=f"{options.PREFIX}_IMPORT_WORKERS",
    show_default="one per processor",
    help="Processes; 0: only this one. The shards are the same for any number.",
)
@options.option(
    "--image-size",
    type=click.IntRange(min=1),
    metavar="N",
    envvar=f"{options.PREFIX}_IMPORT_IMAGE_SIZE",
    show_default="the data set's",
    help="Largest shorter side of an image in pixels; larger images are resized.",
)
@options.on_error_option
@options.json_option
@options.quiet_option
def import_command(
    *,
    spec: str,
    out: Path,
    workers: int | None,
    image_size: int | None,
    on_error: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Convert pairs in files or shards into clean shards.

    DATASET is a source of training pairs, e.g. csv:path=pairs.tsv. Plain RGB images in JPEG, PNG or
    WebP are stored unchanged; others are converted. With --on-error skip, unusable pairs are left
    out and listed in skipped.jsonl beside the shards.
    """
    policy = requests.on_error_of(on_error)
    source = registry.build("dataset", spec)
    name = registry.short_name(registry.parse("dataset", spec).name)
    if not (hasattr(source, "entries") and hasattr(source, "identity")):
        raise BadSetting(
            f"The data set {name!r} has nothing to import; use `clipbench data write {name}`."
        )
    from clipbench.custody.record import note_made  # noqa: PLC0415 - brings numpy
    from clipbench.importing.pairs import import_set  # noqa: PLC0415
    from clipbench.shards import skipped  # noqa: PLC0415 - heavy

    where = out.resolve()  # "." has no name to which anything could be added
    reading = source.reading() if hasattr(source, "reading") else ""
    with reporter_for(quiet) as reporter, logged("data import", where, source=name):
        if reading:
            reporter.note(reading)
        made = import_set(
            source,
            where,
            name=name,
            image_size=getattr(source, "image_size", None) if image_size is None else image_size,
            on_error=policy,
            workers=workers,
            progress=reporter.progress,
        )
        stats = skipped.read_stats(where)
        left_out = {} if stats is None else stats.left_out
        note_made("set", made.content_sha256())
        reporter.note(f"{counted(len(made), 'pair')} in {counted(len(made.shards), 'shard')}")
        if stats is not None:
            reporter.note(f"{skipped.summary(stats.left_out)}; named in {out / skipped.NAME}")
    if as_json:
        print_json({"shards": str(out), "pairs": len(made), "left_out": left_out})
    else:
        print_place(out)
