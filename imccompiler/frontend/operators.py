"""Where each operator of ONNX runs; `docs/operators.md` is made from this.

`python -m imccompiler.frontend.operators docs/operators.md` writes the tables below its marker.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from imccompiler.errors import UserInputError
from imccompiler.frontend.domains import runtime_operators
from imccompiler.frontend.fold import DATA_DEPENDENT, RANDOM
from imccompiler.frontend.host import LOWERED, SIZED_BY_DATA
from imccompiler.simulator.digital import is_supported

Place = Literal["crossbars", "vector unit", "host", "import", "refused"]

MARKER = "<!-- Generated below this line: `python -m imccompiler.frontend.operators FILE` -->"

CROSSBARS: Mapping[str, str] = {
    "Conv": "with constant weights; else on the host",
    "ConvInteger": "with constant weights, as a Conv whose codes are given",
    "ConvTranspose": "with constant weights; else on the host",
    "Einsum": "a matrix product with a constant; one of activations on the matrix unit; else host",
    "GRU": "with constant weights, lengths and known activations; else on the host",
    "Gemm": "with a constant side; else on the matrix unit",
    "LSTM": "with constant weights, lengths and known activations; else on the host",
    "MatMul": "with a constant side; else on the matrix unit; of integers on the host",
    "MatMulInteger": "with constant weights, as a MatMul whose codes are given",
    "QLinearConv": "with constant weights, as a Conv whose codes are given",
    "QLinearMatMul": "with constant weights, as a MatMul whose codes are given",
    "RNN": "with constant weights, lengths and known activations; else on the host",
}
IMPORT: Mapping[str, str] = {
    **dict.fromkeys(("If", "Loop", "Scan"), "where constants decide what runs; else refused"),
    **dict.fromkeys(("Constant", "Shape", "Size"), "a constant"),
    **dict.fromkeys(("Dropout", "Identity"), "nothing; the mask of a Dropout on the host"),
    **dict.fromkeys(
        (
            *("ConcatFromSequence", "SequenceAt", "SequenceConstruct", "SequenceEmpty"),
            *("SequenceErase", "SequenceInsert", "SequenceLength", "SequenceMap"),
            "SplitToSequence",
        ),
        "followed as long as the sequence is one of known length",
    ),
    **dict.fromkeys(
        ("Optional", "OptionalGetElement", "OptionalHasElement"), "what is there is known"
    ),
    **dict.fromkeys(
        ("DequantizeLinear", "DynamicQuantizeLinear", "QuantizeLinear"),
        "codes of the tensors, where their scales are constant; else on the host",
    ),
}
STRINGS = frozenset({"RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit"})
NOTES: Mapping[str, str] = {
    "Resize": "modes nearest and linear; else on the host",
    "TfIdfVectorizer": "of integers",
    "Upsample": "as Resize",
    "MaxPool": "its indices on the host",
    "Split": "as Slice",
    "CastLike": "as Cast",
    **dict.fromkeys(("Div", "Pow", "ReduceMean"), "of integers on the host"),
}


def place_of(op_type: str) -> tuple[Place, str]:
    """Where an operator of ONNX's default domain runs, and what is to be said about it."""
    if op_type in CROSSBARS:
        return "crossbars", CROSSBARS[op_type]
    if op_type in IMPORT:
        return "import", IMPORT[op_type]
    if op_type == "Compress":
        return "host", "with a constant condition; else refused"
    refused = (
        (RANDOM, "its results are random"),
        (STRINGS, "tensors of strings have no codes"),
        (
            DATA_DEPENDENT | SIZED_BY_DATA,
            "the size of its result depends on data; of constants it is a constant",
        ),
    )
    for names, why in refused:
        if op_type in names:
            return "refused", why
    here = is_supported(op_type) or op_type in LOWERED
    return "vector unit" if here else "host", NOTES.get(op_type, "")


def operators() -> tuple[str, ...]:
    """All operators of the newest version of ONNX's default domain."""
    from onnx import defs  # noqa: PLC0415

    return tuple(sorted(s.name for s in defs.get_all_schemas() if s.domain == ""))


def with_table(text: str) -> str:
    """The text with everything below `MARKER` replaced by the tables.

    Raises:
        UserInputError: The marker is missing.
    """
    introduction, marker, _ = text.partition(MARKER)
    if not marker:
        raise UserInputError(f"the line {MARKER!r} is missing")
    return introduction + MARKER + "\n\n" + "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    names = operators()
    places = {name: place_of(name) for name in names}
    counts = Counter(place for place, _ in places.values())
    yield f"## ONNX: {len(names)} operators"
    yield ", ".join(f"{place}: {counts[place]}" for place in sorted(counts)) + "."
    yield ""
    yield "| operator | where | |"
    yield "|---|---|---|"
    for name, (place, note) in places.items():
        yield f"| `{name}` | {place} | {note} |".replace("|  |", "| |")
    own = sorted(runtime_operators())
    yield ""
    yield f"## com.microsoft: {len(own)} operators"
    yield "All on the host, if ONNX Runtime's CPU provider has them:"
    yield ", ".join(f"`{name}`" for name in own) + "."


def main(path: Path) -> None:
    """Write the tables into a file."""
    path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
