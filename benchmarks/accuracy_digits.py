"""What quantisation and the machine's converters cost: accuracy on the held-out digits.

    python benchmarks/accuracy_digits.py [--networks digits-cnn] [--machines isaac pimcomp] [--json]

Each program is compiled with the calibration images and executed on all 500 held-out images:
once with converters that lose nothing (8-bit weights and activations), once with the machine's
own ADC. The float network runs in ONNX Runtime.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from printing import markdown, parser

import imccompiler
from imccompiler import models
from imccompiler.report.console import emit_json

NETWORKS = ("digits-cnn", "digits-mlp")
MACHINES = ("isaac", "pimcomp")


@dataclass(frozen=True, slots=True)
class Row:
    """Accuracies are shares of the images; bits are those of the converters."""

    network: str
    machine: str
    images: int
    float_accuracy: float
    ideal_accuracy: float
    adc_accuracy: float
    adc_bits: int | None
    adc_bits_needed: int | None
    ideal_sqnr_db: float
    adc_sqnr_db: float


def measure(network: str, machine: str) -> Row:
    """Compile, and execute twice."""
    calibration = {"image": models.digits.calibration()}
    images, labels = models.digits.heldout()
    compiled = imccompiler.compile(network, machine, calibration=calibration, check=True)
    inputs = {"image": images}
    ideal = imccompiler.evaluate(compiled, inputs, labels, ideal=True, compare=True).run
    own = imccompiler.evaluate(compiled, inputs, labels, compare=True).run
    check = compiled.report.check
    return Row(
        network=network,
        machine=machine,
        images=ideal.samples,
        float_accuracy=ideal.onnxruntime_accuracy or 0.0,
        ideal_accuracy=ideal.accuracy or 0.0,
        adc_accuracy=own.accuracy or 0.0,
        adc_bits=check.adc_bits if check else None,
        adc_bits_needed=check.adc_bits_needed if check else None,
        ideal_sqnr_db=ideal.onnxruntime_sqnr_db or 0.0,
        adc_sqnr_db=own.onnxruntime_sqnr_db or 0.0,
    )


def table(rows: list[Row]) -> str:
    """One row a network and machine."""
    columns = ("network", "machine", "float", "8-bit", "own ADC", "ADC bits", "bits needed")
    cells = [
        (
            row.network,
            row.machine,
            f"{100 * row.float_accuracy:.1f} %",
            f"{100 * row.ideal_accuracy:.1f} %",
            f"{100 * row.adc_accuracy:.1f} %",
            f"{row.adc_bits}",
            f"{row.adc_bits_needed}",
        )
        for row in rows
    ]
    return markdown(columns, cells)


def main() -> None:
    """Measure and print."""
    arguments = parser(__doc__)
    arguments.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    arguments.add_argument("--machines", nargs="+", default=MACHINES, help="presets or YAML files")
    options = arguments.parse_args()
    rows = [measure(name, machine) for name in options.networks for machine in options.machines]
    if options.json:
        emit_json([asdict(row) for row in rows])
    else:
        print(table(rows))


if __name__ == "__main__":
    main()
