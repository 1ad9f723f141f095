"""Trains the digit networks and writes every file of this folder; takes about a minute.

    python -m imccompiler.models.digits.train --output DIR

Needs torch and scikit-learn. The held-out images take no part in any choice: the settings below
are fixed, and the accuracy is measured once, when all is done.
"""

# Linters run without torch, so its types are unknown to them.
# pyright: reportMissingImports=false, reportUntypedBaseClass=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

from imccompiler.models.digits import network
from imccompiler.models.parameters import Array, Weights

if TYPE_CHECKING:
    from onnx import ModelProto

HELD_OUT, CALIBRATION = 500, 128  # images
EPOCHS, BATCH, RATE, WEIGHT_DECAY, SMOOTHING = 60, 64, 5e-3, 0.05, 0.1

log = logging.getLogger(__name__)


class Cnn(nn.Module):
    """`network.cnn` in torch, with the same names of parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 16, 3, padding=1)
        self.conv3 = nn.Conv2d(16, 16, 3, padding=1)
        self.conv4 = nn.Conv2d(16, 32, 3, padding=1)
        self.fc = nn.Linear(32 * 2 * 2, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Map images [N, 1, 8, 8] to logits [N, 10]."""
        x = self.conv1(x).relu()
        x = (self.conv3(self.conv2(x).relu()) + x).relu()
        x = self.conv4(functional.max_pool2d(x, 2)).relu()
        return self.fc(functional.max_pool2d(x, 2).flatten(1))


class Mlp(nn.Module):
    """`network.mlp` in torch, with the same names of parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(64, 64)
        self.fc2 = nn.Linear(64, 32)
        self.fc3 = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Map images [N, 1, 8, 8] to logits [N, 10]."""
        return self.fc3(self.fc2(self.fc1(x.flatten(1)).relu()).relu())


def train(model: nn.Module, images: Array, labels: Array) -> Weights:
    """Fit the model with AdamW under a one-cycle rate; return its weights as numpy arrays."""
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    steps = -(-len(x) // BATCH)
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, EPOCHS * steps)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x)).split(BATCH):
            logits = model(x[batch])
            loss = functional.cross_entropy(logits, y[batch], label_smoothing=SMOOTHING)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return {name: value.numpy() for name, value in model.state_dict().items()}


def accuracy(model: ModelProto, images: Array, labels: Array) -> float:
    """Return the share of images that ONNX Runtime classifies rightly with the written graph."""
    import onnxruntime  # noqa: PLC0415

    session = onnxruntime.InferenceSession(model.SerializeToString())
    logits = [session.run(None, {network.IMAGE.name: image[None]})[0] for image in images]
    return float(np.mean(np.argmax(np.asarray(logits), axis=-1).ravel() == labels))


def split(seed: int) -> tuple[Array, Array, Array, Array]:
    """Return training and held-out images [N, 1, 8, 8] from 0 to 1, then their labels."""
    pixels, digits = load_digits(return_X_y=True)
    images = (pixels / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    labels = digits.astype(np.int64)
    parts = train_test_split(images, labels, test_size=HELD_OUT, stratify=labels, random_state=seed)
    train_images, held_images, train_labels, held_labels = map(np.asarray, parts)
    return train_images, held_images, train_labels, held_labels


def main() -> None:
    """Train both networks and write them and their data into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    parser.add_argument("--seed", type=int, default=0, help="of the split and of the training")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)

    images, held_images, labels, held_labels = split(options.seed)
    output: Path = options.output
    output.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(output / "heldout.npz", image=held_images, label=held_labels)
    np.savez_compressed(output / "calibration.npz", image=images[:CALIBRATION])

    graphs: dict[str, tuple[type[nn.Module], Callable[[Weights], ModelProto]]] = {
        network.CNN.name: (Cnn, network.cnn),
        network.MLP.name: (Mlp, network.mlp),
    }
    for name, (module, graph) in graphs.items():
        torch.manual_seed(options.seed)
        model = graph(train(module(), images, labels))
        (output / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))
        log.info("%s: held-out accuracy %.4f", name, accuracy(model, held_images, held_labels))


if __name__ == "__main__":
    main()
