"""Fuzzing: damaged ONNX files may end in nothing but an `ImcError`, in bounded time and memory.

    python benchmarks/fuzz.py --minutes 10

Half of the cases change bytes of a small network's file, half change fields of its protobuf
message (sizes, names, operators, attributes), which gets deeper. Each case runs in a child process
with limits of time and memory, so that a crash of native code is found as well. What was found is
written into a folder, one file a case, with what happened.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import select
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SECONDS = 20  # that a case may take; a good network takes less than 1
MEMORY_BYTES = 3 * 2**30  # of address space that a case may add to that of the interpreter
INTERESTING = (0, 1, -1, 2, 3, 7, 255, 2**15, 2**20, 2**31 - 1, -(2**31), 2**40, 2**62, -(2**63))
TEXTS = ("", "x", "Relu", "MatMul", "Reshape", "Loop", "If", "com.microsoft", "y" * 10_000, "\n")


@dataclass(frozen=True)
class Finding:
    """A case that ended in another way than it may."""

    seed: int
    kind: str
    detail: str
    data: bytes


def networks() -> dict[str, bytes]:
    """Small networks to start from."""
    from imccompiler import models  # noqa: PLC0415

    built = {name: models.build(name) for name in ("digits-cnn", "lenet")}
    built["bert-tiny"] = models.build("bert-tiny", mask=True)
    return {name: _without_weights(model).SerializeToString() for name, model in built.items()}


def _without_weights(model: Any) -> Any:
    """Weights of one value each, so that most of the bytes that are left say something."""
    from onnx import TensorProto, helper  # noqa: PLC0415

    kept, nodes = [], []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.raw_data) <= 256:
            kept.append(tensor)
            continue
        shape = helper.make_tensor(f"{tensor.name}.shape", 7, [len(tensor.dims)], tensor.dims)
        value = helper.make_tensor("value", 1, [1], [0.5])
        kept.append(shape)
        nodes.append(helper.make_node("ConstantOfShape", [shape.name], [tensor.name], value=value))
    nodes += model.graph.node
    kept = [TensorProto.FromString(tensor.SerializeToString()) for tensor in kept]
    nodes = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del model.graph.initializer[:]
    del model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)
    return model


def case(seeds: list[bytes], seed: int) -> bytes:
    """The damaged file of a number."""
    rng = np.random.default_rng(seed)
    data = seeds[int(rng.integers(len(seeds)))]
    return _fields(data, rng) if seed % 2 else _bytes(data, rng)


def _bytes(data: bytes, rng: np.random.Generator) -> bytes:
    raw = bytearray(data)
    for _ in range(int(rng.integers(1, 8))):
        at = int(rng.integers(max(1, len(raw))))
        length = int(rng.integers(1, 16))
        match int(rng.integers(5)):
            case 0:
                raw[at : at + 1] = bytes([int(rng.integers(256))])
            case 1:
                del raw[at : at + length]
            case 2:
                raw[at:at] = rng.bytes(length)
            case 3:
                raw[at:at] = raw[at : at + length]
            case _:
                del raw[at:]
                break
    return bytes(raw)


def _fields(data: bytes, rng: np.random.Generator) -> bytes:
    from onnx import ModelProto  # noqa: PLC0415

    model = ModelProto.FromString(data)
    for _ in range(int(rng.integers(1, 4))):
        places = list(_places(model))
        message, field = places[int(rng.integers(len(places)))]
        with contextlib.suppress(ValueError, TypeError):  # the field's type cannot hold it
            _change(message, field, rng)
    return model.SerializeToString()


def _places(message: Any) -> Iterator[tuple[Any, Any]]:
    """Every field that is set in a message and in those within it, and the message's own."""
    for field, value in message.ListFields():
        if field.name in {"raw_data", "doc_string", "metadata_props"}:
            continue
        yield message, field
        if field.message_type is not None:
            for inner in value if field.is_repeated else [value]:
                yield from _places(inner)


def _change(message: Any, field: Any, rng: np.random.Generator) -> None:
    if field.is_repeated:
        values = getattr(message, field.name)
        at = int(rng.integers(len(values)))
        if field.message_type is not None or rng.random() < 0.3:
            if rng.random() < 0.5:
                del values[at]
            elif field.message_type is not None:
                values.add().CopyFrom(values[int(rng.integers(len(values)))])
            else:
                values.append(values[at])
        else:
            values[at] = _value(values[at], values, rng)
    elif field.message_type is not None or rng.random() < 0.1:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, _value(getattr(message, field.name), None, rng))


def _value(old: Any, siblings: Any, rng: np.random.Generator) -> Any:
    if siblings is not None and len(siblings) > 1 and rng.random() < 0.3:
        return siblings[int(rng.integers(len(siblings)))]
    if isinstance(old, str):
        return TEXTS[int(rng.integers(len(TEXTS)))]
    if isinstance(old, bytes):
        return rng.bytes(4)
    if isinstance(old, float):
        return float(rng.choice([0.0, -1.0, np.inf, np.nan, 1e38]))
    if rng.random() < 0.4:
        return old + int(rng.integers(-2, 3))
    return INTERESTING[int(rng.integers(len(INTERESTING)))]


def run(
    seeds: list[bytes], numbers: Iterator[int], task: Callable[[bytes], None], until: float
) -> tuple[Counter[str], list[Finding]]:
    """Run cases in child processes until a time; returns how they ended, and what was found."""
    tally: Counter[str] = Counter()
    findings: list[Finding] = []
    while time.monotonic() < until:
        last, outcomes, ended = _child(seeds, numbers, task, until)
        for seed, kind, detail in outcomes:
            tally[kind] += 1
            if kind not in {"valid", "refused"}:
                findings.append(Finding(seed, kind, detail, case(seeds, seed)))
        if ended and last is not None:
            tally[ended] += 1
            findings.append(Finding(last, ended, "", case(seeds, last)))
        if last is None and not outcomes:
            break
    return tally, findings


def _child(
    seeds: list[bytes], numbers: Iterator[int], task: Callable[[bytes], None], until: float
) -> tuple[int | None, list[tuple[int, str, str]], str]:
    """Fork a process that takes cases until it dies or `until`.

    Returns the case that it died of, how the others ended, and how it died.
    """
    answers, give = os.pipe()
    orders, order = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(answers)
        os.close(order)
        _work(seeds, task, orders, give)
    os.close(give)
    os.close(orders)
    outcomes: list[tuple[int, str, str]] = []
    with os.fdopen(answers, "rb") as lines:
        for seed in numbers:
            if time.monotonic() > until:
                break
            os.write(order, f"{seed}\n".encode())
            if not select.select([lines], [], [], SECONDS)[0]:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                os.close(order)
                return seed, outcomes, f"more than {SECONDS} s"
            line = lines.readline().decode(errors="replace").rstrip("\n")
            if not line:
                status = os.waitpid(child, 0)[1]
                os.close(order)
                return seed, outcomes, f"died: {os.waitstatus_to_exitcode(status)}"
            kind, _, detail = line.partition("\t")
            outcomes.append((seed, kind, detail.replace("\x1f", "\n")))
        os.close(order)
        os.waitpid(child, 0)
    return None, outcomes, ""


def _work(seeds: list[bytes], task: Callable[[bytes], None], orders: int, give: int) -> None:
    """The child: takes numbers of cases, says how each ended."""
    from imccompiler.errors import ImcError, InternalError  # noqa: PLC0415

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES,) * 2)
    warnings.simplefilter("ignore")  # pytest makes errors of them
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    with os.fdopen(orders, "r") as lines:
        for line in lines:
            outcome = "valid"
            try:
                task(case(seeds, int(line)))
            except InternalError as error:
                cause = "".join(traceback.format_exception(error))
                outcome = f"internal error\t{cause}"
            except ImcError:
                outcome = "refused"
            except BaseException as error:  # noqa: BLE001
                outcome = f"{type(error).__name__}\t{''.join(traceback.format_exception(error))}"
            text = outcome.replace("\n", "\x1f")
            view = memoryview(text.encode(errors="replace") + b"\n")
            while view:
                view = view[os.write(give, view) :]
    os._exit(0)


def load(data: bytes) -> None:
    """Import only."""
    from imccompiler.frontend import load_onnx  # noqa: PLC0415

    load_onnx(data)


def compile_(data: bytes) -> None:
    """All of a compile but its output folder."""
    import imccompiler  # noqa: PLC0415

    imccompiler.compile(data, "isaac", effort=0)


def main() -> None:
    """Fuzz for some minutes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0, help="number of the first case")
    parser.add_argument("--load-only", action="store_true", help="import, and do not compile")
    parser.add_argument("--output", type=Path, default=Path("fuzz-findings"))
    options = parser.parse_args()
    seeds = list(networks().values())
    task = load if options.load_only else compile_
    task(seeds[0])  # what is imported once is not counted as the first case's
    numbers = iter(range(options.seed, sys.maxsize))
    tally, findings = run(seeds, numbers, task, time.monotonic() + 60 * options.minutes)
    for kind, count in tally.most_common():
        print(f"{count:8} {kind}")
    for finding in findings:
        options.output.mkdir(exist_ok=True)
        path = options.output / f"{finding.seed}.onnx"
        path.write_bytes(finding.data)
        path.with_suffix(".txt").write_text(f"{finding.kind}\n{finding.detail}\n")
    if findings:
        sys.exit(f"{len(findings)} findings are in {options.output}")


if __name__ == "__main__":
    main()
