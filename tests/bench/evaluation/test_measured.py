"""What was measured, as files hold it."""

from __future__ import annotations

import json

import msgspec

from clipbench.evaluation.measured import Epoch

EPOCH = (
    '{"epoch": 2, "loss": {"contrast": 1.5, "nobody": null}, "lr": null, "pairs": 90,'
    ' "cross_modal_pairs": 80, "safe_set_size": 80, "poisons_in_safe_set": 1,'
    ' "poisons_in_epoch": 4, "score_auroc": 0.75, "score_auprc": 0.5,'
    ' "attack_success": {"value": 0.0, "k": 0, "n": 4, "low": 0.0, "high": 0.4898908364545973}}'
)


def test_an_epoch_of_an_earlier_version_is_read_and_written_alike() -> None:
    epoch = msgspec.convert(json.loads(EPOCH), Epoch)
    assert json.dumps(epoch.to_json()) == EPOCH


def test_what_is_not_known_of_an_epoch_is_left_out_but_for_loss_and_rate() -> None:
    assert Epoch(epoch=1, loss={}, pairs=0).to_json() == {
        "epoch": 1,
        "loss": {},
        "lr": None,
        "pairs": 0,
    }
