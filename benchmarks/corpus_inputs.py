"""What the corpus's networks are bound to and fed with: a table, and the inputs it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import corpus_signals as signals
import numpy as np
from numpy.typing import NDArray

Inputs = dict[str, NDArray[Any]]
Maker = Callable[[Path, int], Inputs]
"""Takes the network's file and a number of samples; returns inputs, samples along a first axis."""


@dataclass(frozen=True, slots=True)
class Case:
    """How a network of the corpus is compiled.

    Attributes:
        pattern: Of its path in the corpus.
        trained: Its weights are real ones.
        bindings: Of its dynamic dimensions and scalar inputs.
        inputs: Makes natural inputs; None: seeded noise.
        samples: Inputs that accuracy is measured on, and as many for calibration.
    """

    pattern: str
    trained: bool = True
    bindings: Mapping[str, int] = field(default_factory=dict[str, int])
    inputs: Maker | None = None
    samples: int = 16


def case_of(name: str) -> Case:
    """The first case that fits; else one with noise, its weights real if it is a file."""
    other = Case(name, trained=name.endswith(".onnx"))
    return next((case for case in CASES if fnmatch(name, case.pattern)), other)


# ---- images


def _pages(port: str, height: int, width: int, lines: int) -> Maker:
    """Pages of text in [-1, 1], grey in all three channels, as PaddleOCR scales them."""

    def make(_path: Path, count: int) -> Inputs:
        random = np.random.default_rng(1)
        pages = [signals.text_lines(random, height, width, lines) for _ in range(count)]
        grey = 2 * np.stack(pages)[:, None, None] - 1
        return {port: np.repeat(grey, 3, axis=2).astype(np.float32)}

    return make


def _photographs(port: str, height: int, width: int) -> Maker:
    """Colour images in [0, 1]."""

    def make(_path: Path, count: int) -> Inputs:
        random = np.random.default_rng(1)
        images = [signals.photograph(random, height, width)[None] for _ in range(count)]
        return {port: np.stack(images).astype(np.float32)}

    return make


def _mnist(_path: Path, count: int) -> Inputs:
    """Scanned digits at 24 x 24 in a frame of 28 x 28, ink in [0, 255] as the network takes it."""
    large = np.kron(signals.digits()[:count], np.ones((3, 3)))
    return {"Input3": 255 * np.pad(large, ((0, 0), (2, 2), (2, 2)))[:, None, None].astype("f4")}


def _small_digits(_path: Path, count: int) -> Inputs:
    return {"image": signals.digits()[:count, None, None]}


# ---- sound: each network is fed with what the one before it in its package makes


@cache
def _session(path: Path) -> Any:
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    return onnxruntime.InferenceSession(str(path), options)


SPACING = 4  # chunks of a stream from one sample to the next, so that they are of many sounds


def _stream(states: Mapping[str, tuple[str, int]], chunk: int, frames: int = 0) -> Maker:
    """Speech in chunks, each with the state that the network has after those before it.

    Args:
        states: By input: the output that it is fed from, and its last axis; it starts with zeros.
        chunk: Samples of sound in a chunk, 64 of them those before it where it has 576.
        frames: Chunks in one input; 0: one, without an axis for them.
    """

    def make(path: Path, count: int) -> Inputs:
        session = _session(path)
        outputs = [output.name for output in session.get_outputs()]
        shapes = {i.name: i.shape for i in session.get_inputs()}
        state = {n: np.zeros((shapes[n][0], 1, width), "f4") for n, (_, width) in states.items()}
        rate = {"sr": np.array(signals.RATE_HZ)} if "sr" in shapes else {}
        step, rows, steps = chunk - 64 * (chunk == 576), frames or 1, SPACING * (count + 1)
        sound = signals.speech(np.random.default_rng(1), steps * rows * step + 64)
        chunks = np.lib.stride_tricks.sliding_window_view(sound, chunk)[::step].astype("f4")
        made: list[Inputs] = []
        for i in range(steps):
            made.append({**state, "input": chunks[i * rows : (i + 1) * rows]})
            found = dict(zip(outputs, session.run(None, {**made[-1], **rate}), strict=True))
            state = {n: found[output] for n, (output, _) in states.items()}
        kept = made[SPACING::SPACING]
        return {name: np.stack([one[name] for one in kept]) for name in kept[0]}

    return make


def _pcm(seconds: float, seed: int) -> NDArray[Any]:
    """Speech as openWakeWord's networks take it: 16-bit samples as floats, shape (1, samples)."""
    sound = signals.speech(np.random.default_rng(seed), round(seconds * signals.RATE_HZ))
    return np.rint(32767 * sound[None]).astype("f4")


def _sound(_path: Path, count: int) -> Inputs:
    whole = _pcm(0.2 * count, 1)
    return {"input": np.stack([whole[:, 3000 * i :][:, :1760] for i in range(count)])}


def _mel(path: Path, seconds: float, seed: int) -> NDArray[Any]:
    """The mel spectrogram as openWakeWord scales it, shape (frames, 32)."""
    [mel] = _session(path.with_name("melspectrogram.onnx")).run(
        None, {"input": _pcm(seconds, seed)}
    )
    return mel[0, 0] / 10 + 2


def _windows(path: Path, count: int) -> Inputs:
    mel = _mel(path, 0.5 * count + 2, 1)
    return {"input_1": np.stack([mel[None, 40 * i :, :, None][:, :76] for i in range(count)])}


def _embeddings(path: Path, count: int) -> Inputs:
    """Windows of embeddings, a step of 80 ms apart."""
    port = _session(path).get_inputs()[0]
    steps = int(port.shape[1])
    network = _session(path.with_name("embedding_model.onnx"))
    mel = _mel(path, 0.08 * (steps + 4 * count) + 2, 1)
    windows = np.lib.stride_tricks.sliding_window_view(mel, 76, axis=0)[::8]
    windows = np.ascontiguousarray(windows.transpose(0, 2, 1))[..., None]
    [embedded] = network.run(None, {"input_1": windows})
    flat = embedded[:, 0, 0]
    return {port.name: np.stack([flat[None, 4 * i :][:, :steps] for i in range(count)])}


# ---- files


def _files(_path: Path, count: int) -> Inputs:
    """First and last 1,024 bytes of files of this repository, as magika reads them."""
    root = Path(__file__).parent.parent
    paths = [*sorted(root.glob("*.*")), *sorted(root.glob("*/*.[pyo]*"))]
    large = [path for path in paths if path.is_file() and path.stat().st_size >= 2048]
    rows = [_ends(path.read_bytes()) for path in large[:: max(1, len(large) // count)][:count]]
    return {"bytes": np.stack(rows)[:, None]}


def _ends(content: bytes) -> NDArray[np.int32]:
    ends = content[:1024] + content[-1024:]
    return np.frombuffer(ends, np.uint8).astype(np.int32)


_VAD = _stream({"state": ("stateN", 128)}, 576)
_VAD_BINDINGS = {"batch": 1, "sequence": 576, "sr": signals.RATE_HZ}

CASES = (
    Case("onnx/*", trained=False),
    Case("magika/*", bindings={"unk__214": 1}, inputs=_files),
    Case(
        "rapidocr_onnxruntime/*det*",
        bindings={"p2o.DynamicDimension.1": 320, "p2o.DynamicDimension.2": 320},
        inputs=_pages("x", 320, 320, 8),
        samples=4,
    ),
    Case(
        "rapidocr_onnxruntime/*rec*",
        bindings={"?": 48, "p2o.DynamicDimension.1": 320},
        inputs=_pages("x", 48, 320, 1),
        samples=4,
    ),
    # Height and width have one name, so they are bound to one size.
    Case("rapidocr_onnxruntime/*cls*", bindings={"?": 48}, inputs=_pages("x", 48, 48, 1)),
    Case(
        "silero_vad/silero_vad.onnx",
        bindings={"input.0": 1, "input.1": 576, "state.1": 1, "sr": signals.RATE_HZ},
        inputs=_VAD,
    ),
    Case(
        "silero_vad/*sequence*",
        bindings={"sequence_length": 4},
        inputs=_stream({"h": ("hn", 128), "c": ("cn", 128)}, 576, frames=4),
    ),
    Case("silero_vad/*half*", bindings={"batch": 1, "sequence": 576}, inputs=_VAD),
    Case("silero_vad/*openvino*", inputs=_VAD),
    Case("silero_vad/*", bindings=_VAD_BINDINGS, inputs=_VAD),
    Case(
        "openwakeword/silero_vad.onnx",
        bindings={"batch": 1, "sequence": 480, "sr": signals.RATE_HZ},
        inputs=_stream({"h": ("hn", 64), "c": ("cn", 64)}, 480),
    ),
    Case("openwakeword/mel*", bindings={"batch_size": 1, "samples": 1760}, inputs=_sound),
    Case("openwakeword/embedding*", bindings={"unk__316": 1}, inputs=_windows),
    Case("openwakeword/hey_mycroft*", bindings={"unk__332": 1}, inputs=_embeddings),
    Case("openwakeword/*", inputs=_embeddings),
    Case("qonnx/mnist-conv/*", inputs=_mnist),
    Case("qonnx/*/nn_resize/*", inputs=_photographs("onnx::Relu_0", 128, 128), samples=4),
    Case("qonnx/*/subpixel/float*", inputs=_photographs("input", 4, 4)),
    Case("qonnx/*/subpixel/quant*", inputs=_photographs("x.7", 128, 128), samples=4),
    Case("qonnx/*", trained=False),
    Case("digits-*", inputs=_small_digits),
)
