"""What the benchmarks share: their command line, and tables in Markdown that are padded to read."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def parser(doc: str | None) -> argparse.ArgumentParser:
    """A command line with `--json`, and the module's docstring as its help."""
    form = argparse.RawDescriptionHelpFormatter
    made = argparse.ArgumentParser(description=doc, formatter_class=form)
    made.add_argument("--json", action="store_true", help="print JSON")
    return made


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with padded cells; columns of numbers are to the right."""
    lines = [columns, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    right = [any(character.isdigit() for character in rows[0][i]) for i in range(len(columns))]
    right[0] = False
    rule = [
        "-" * (width - 1) + ":" if numbers else "-" * width
        for width, numbers in zip(widths, right, strict=True)
    ]
    padded = [
        [
            cell.rjust(width) if numbers else cell.ljust(width)
            for cell, width, numbers in zip(line, widths, right, strict=True)
        ]
        for line in lines
    ]
    padded.insert(1, rule)
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)
