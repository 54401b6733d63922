"""A model with its optimizer: one step on a batch, or similarities of pairs; no epochs."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from clipbench.configuration.precision import settled
from clipbench.configuration.settings import TrainSettings
from clipbench.contracts import Phase, Reference
from clipbench.loading.pairs import Batch, BatchRequest, TrainingPairs
from clipbench.parallel.batchnorm import synchronize_batch_norm
from clipbench.parallel.gradients import GradientSum
from clipbench.parallel.group import Processes
from clipbench.system.arithmetic import computing, refuse_without_tf32
from clipbench.training.encoder import Encoder
from clipbench.training.tally import refuse_infinite

LOGIT_SCALE_MAX = float(np.log(100.0))  # Radford et al. 2021, section 2.5
SCORING_BATCH = 512


class Learner:
    """Runs the two repeated operations of training: optimizer steps, and scoring pairs.

    Args:
        model: an open_clip model; its token table may be compact. It is moved to the device.
        pairs: the pairs.
        settings: training settings, all resolved.
        processes: this process among all.
    """

    def __init__(
        self, model: nn.Module, pairs: TrainingPairs, settings: TrainSettings, processes: Processes
    ) -> None:
        if processes.device.type == "cuda":  # each shape's fastest algorithm, found by trying
            torch.backends.cudnn.benchmark = not torch.are_deterministic_algorithms_enabled()
        # Convolutions are several times faster with channels last, above all in bf16.
        self.model = model.to(processes.device).to(memory_format=torch.channels_last)
        if processes.count > 1:
            synchronize_batch_norm(self.model)
            processes.spread(self.model.state_dict().values())
        self._pairs = pairs
        self._settings = settings
        self._processes = processes
        self.precision = settled(settings.precision, str(processes.device))  # auto in old records
        refuse_without_tf32(self.precision, processes.device)
        self.optimizer = make_optimizer(model, settings)
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._gradients = GradientSum(self._parameters, processes)
        self._encoder = Encoder(model, processes, self.precision, compiled=settings.compile)
        self.similarities: Tensor | None = None  # of the last step's pairs, where a phase asks
        self._earlier: nn.Module | None = None
        self._earlier_encoder: Encoder | None = None

    @property
    def processes(self) -> Processes:
        """This process among all."""
        return self._processes

    def feature_size(self) -> int:
        """Return D, as the model gives it."""
        probe = self._pairs.make(BatchRequest(np.zeros(1, np.int64), slice(0, 1), 1, False, ()))
        self.model.eval()  # batch norm refuses a batch of one in training mode
        with torch.no_grad():
            return self._encoder.encode(probe.images[0], probe.tokens[0])[0].shape[1]

    def step(self, phase: Phase, batch: Batch, learning_rate: float, where: str) -> Tensor:
        """Do one optimizer step and return its loss, a scalar; nothing waits for a GPU.

        Args:
            phase: says what the loss is.
            batch: this process's rows of the global batch.
            learning_rate: of this step.
            where: names the step in messages.

        Raises:
            ClipbenchError: the loss is not finite; of a GPU's, see `Tally`.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        with computing(self.precision):
            return self._step(phase, batch, where)

    def _step(self, phase: Phase, batch: Batch, where: str) -> Tensor:
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        features = self._encoder.features(batch, phase.detached_views)
        if phase.reference:
            features = features._replace(reference=self._reference(batch))
        if phase.scores:
            with torch.no_grad():
                self.similarities = (features.image[0] * features.text[0]).sum(dim=1)
        loss = phase.loss(features)
        if loss.device.type != "cuda":
            refuse_infinite(loss.item(), phase.name, where)
        with self._gradients.summed():
            loss.backward()  # type: ignore[no-untyped-call]
        if self._settings.grad_clip_norm:
            nn.utils.clip_grad_norm_(self._parameters, self._settings.grad_clip_norm)
        self.optimizer.step()
        with torch.no_grad():
            scale: Tensor = self.model.logit_scale  # type: ignore[assignment]
            scale.clamp_(0, LOGIT_SCALE_MAX)
        return loss.detach()

    def remember(self, weights: Mapping[str, Tensor] | None = None) -> None:
        """Keep the model as it is, or with other weights, as the reference of later steps."""
        self._earlier = copy.deepcopy(self.model).eval().requires_grad_(False)
        if weights is not None:
            self._earlier.load_state_dict(weights)
        self._earlier_encoder = Encoder(
            self._earlier, self._processes, self.precision, compiled=self._settings.compile
        )

    def forget(self) -> None:
        """Keep no reference any longer."""
        self._earlier = self._earlier_encoder = None

    def remembered(self) -> dict[str, Tensor] | None:
        """Return the weights of the reference; None: there is none."""
        return None if self._earlier is None else self._earlier.state_dict()

    def _reference(self, batch: Batch) -> Reference:
        encoder = self._earlier_encoder
        assert encoder is not None, "asked for in the first epoch of the stage, or never"
        with torch.no_grad():
            found = encoder.features(batch, 0)
        return Reference(found.image, found.text)

    def restart(self, weights: Mapping[str, Tensor] | None = None, wd: float | None = None) -> None:
        """Begin with a new optimizer, and from other weights where they are given.

        Args:
            weights: the model's; None: as they are.
            wd: weight decay; None: that of the settings.
        """
        if weights is not None:
            self.model.load_state_dict(weights)
        settings = self._settings if wd is None else dataclasses.replace(self._settings, wd=wd)
        self.optimizer = make_optimizer(self.model, settings)

    def similarity(
        self, pairs: TrainingPairs, indices: npt.NDArray[np.int64], augment: bool, epoch: int
    ) -> Tensor:
        """Return the cosine similarity of image and caption of each pair, ``(N,)`` on the CPU.

        Batches are fixed and dealt out to processes whole, so that the numbers do not depend on
        how many processes there are.

        Args:
            pairs: the set.
            indices: numbers of the pairs, ``(N,)``.
            augment: whether to score a freshly augmented view of each pair, not the pair itself.
            epoch: names the random stream of the augmentation.
        """
        scores = torch.zeros(len(indices), device=self._processes.device)
        for rows, image, text in self._encoded(pairs, indices, augment, epoch):
            scores[rows] = (image * text).sum(dim=1)  # a GPU goes on meanwhile
        return self._processes.sum_when_ready(scores.cpu())

    def each_features(
        self, pairs: TrainingPairs, epoch: int, *, unit: bool = True
    ) -> Iterator[tuple[slice, Tensor]]:
        """Yield in every process the features of all pairs, in batches.

        Args:
            pairs: the set; its pairs are not augmented.
            epoch: as for `similarity`.
            unit: whether they are brought to unit length.

        Yields:
            Which pairs they are of, and the features of images and captions side by side,
            ``(B, 2 D)`` float32 on the CPU.
        """
        indices = np.arange(len(pairs), dtype=np.int64)
        sizes = [len(part) for part in _parts(indices)]
        starts = np.cumsum([0, *sizes]).tolist()
        count, width = self._processes.count, 2 * self.feature_size()
        own = self._encoded(pairs, indices, False, epoch, unit)
        for first in range(0, len(sizes), count):  # a batch of each process
            rows = torch.zeros(count, max(sizes), width)
            if first + self._processes.rank < len(sizes):
                _, image, text = next(own)
                rows[self._processes.rank, : len(image)] = torch.cat([image, text], dim=1).cpu()
            rows = self._processes.sum_of(rows)
            for number in range(first, min(first + count, len(sizes))):
                at = slice(starts[number], starts[number + 1])
                yield at, rows[number - first, : sizes[number]]

    def _encoded(
        self,
        pairs: TrainingPairs,
        indices: npt.NDArray[np.int64],
        augment: bool,
        epoch: int,
        unit: bool = True,
    ) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Yield features of this process's share of the pairs, and which rows they are."""
        parts = _parts(indices)
        mine = range(self._processes.rank, len(parts), self._processes.count)
        starts = np.cumsum([0, *(len(part) for part in parts)]).tolist()
        self.model.eval()
        requests = [
            BatchRequest(part, slice(0, len(part)), 1, augment, ("score", epoch)) for part in parts
        ]
        stream = pairs.stream([requests[number] for number in mine], self._settings.workers)
        for number, batch in zip(mine, stream, strict=True):
            with torch.no_grad():
                image, text = self._encoder.encode(batch.images[0], batch.tokens[0], unit=unit)
            yield slice(starts[number], starts[number + 1]), image, text


def _parts(indices: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    """Split pairs that are scored into batches, whatever processes there are."""
    return np.array_split(indices, -(-len(indices) // SCORING_BATCH))


def make_optimizer(model: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """Return AdamW without weight decay on norms, biases and the logit scale."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    plain = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
    groups = [
        {"params": decayed, "weight_decay": settings.wd},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups,
        lr=settings.lr,
        betas=(settings.beta1, settings.beta2),
        eps=settings.eps,
        fused=True,
    )
