"""Names of the files of a run."""

from __future__ import annotations

RESULT = "result.json"
CHECKPOINT = "checkpoint.pt"  # in the folder of a training run that has not ended
