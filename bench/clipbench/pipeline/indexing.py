"""What is read of shards once, ahead of all work with them."""

from __future__ import annotations

from pathlib import Path

from clipbench.boundary import datasets
from clipbench.contracts import Progress, TrainingSource, no_progress
from clipbench.errors import OnError
from clipbench.importing.usable import UsablePairs, caption_field_of, open_usable
from clipbench.models.openclip import create_model, model_config


def index_source(
    source: TrainingSource,
    cache: Path,
    *,
    model: str | None = None,
    on_error: OnError = "fail",
    progress: Progress = no_progress,
) -> UsablePairs:
    """Make index and hashes of a source's shards, screen them, and read captions for a model.

    Args:
        source: of training pairs.
        cache: where what is made is kept, as training runs look for it.
        model: whose captions' table is made; None: none.
        on_error: whether pairs that can't be used are left out, or an error.
        progress: told about each.

    Raises:
        UnknownName, BadSetting: there is no such model, or it can't be trained here.
        MissingData, CorruptData: see `open_usable`.
    """
    tokenizer = None
    if model is not None:
        from clipbench.loading.text import check_text_tower  # noqa: PLC0415 - heavy

        check_text_tower(model, model_config(model))
        tokenizer = create_model(model, 0)[1]
    usable = open_usable(
        datasets.prepare(source, cache, progress),
        cache,
        caption_field=caption_field_of(source),
        on_error=on_error,
        progress=progress,
    )
    usable.shards.hashes(progress)
    if model is not None and tokenizer is not None:
        from clipbench.loading.word_files import Reading, stored_words  # noqa: PLC0415 - heavy

        reading = Reading.of(model_config(model), tokenizer, datasets.synonyms(source))
        stored_words(usable.shards, reading, cache / "captions", progress)
    return usable
