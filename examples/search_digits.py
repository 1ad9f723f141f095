"""Search machines for the digits from Python, and take the smallest design that is good enough.

    python examples/search_digits.py [FOLDER]

Run it twice: the second time it finds all trials in the folder's ledger.
"""

from __future__ import annotations

import sys
from pathlib import Path

import imccompiler

SPACE = Path(__file__).with_name("space_digits.yaml")


def main() -> None:
    """Run a small study and print its choice."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "study")
    study = imccompiler.search.run(SPACE, trials=40, workers=2, output=folder)
    good = [member for member in study.front if member.full.get("accuracy", 0.0) >= 0.97]
    if not good:
        print("no design of 40 classifies 97 % of the digits: give the study more trials")
        return
    chosen = min(good, key=lambda member: member.full["area_mm2"])
    for name, value in chosen.values.items():
        print(f"{name:24} {value}")
    print(
        f"{chosen.full['area_mm2']:.2f} mm2, {chosen.full['energy_pj'] / 1e3:.1f} nJ, "
        f"{chosen.full['latency_ns'] / 1e3:.1f} us, accuracy {chosen.full['accuracy']:.1%}"
    )
    print(f"look inside: imcc inspect {folder / str(chosen.folder)}")


if __name__ == "__main__":
    main()
