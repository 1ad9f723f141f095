"""Runs the commands whose output the README shows, and puts what they print in its place.

    python benchmarks/readme.py [--only networks.py]

A block begins with the comment `from: COMMAND` and ends with the comment `end`; a fence around
the output stays.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
BLOCK = re.compile(r"(<!-- from: (.+?) -->\n)(.*?)(<!-- end -->\n)", re.DOTALL)
FENCE = "```"


def output_of(command: str, folder: str) -> str:
    """What a command prints on stdout, without the spaces at the ends of lines."""
    program, *arguments = command.split()
    programs = {"python": [sys.executable], "imcc": [sys.executable, "-m", "imccompiler.cli"]}
    arguments = [str(Path(folder) / "out") if word == "OUT" else word for word in arguments]
    call = [*programs[program], *arguments]
    done = subprocess.run(call, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    lines = [line.rstrip() for line in done.stdout.replace(folder + "/", "").splitlines()]
    return "\n".join(lines).strip("\n")


def renewed(block: re.Match[str], folder: str) -> str:
    """A block with what its command prints now."""
    begin, command, old, end = block.groups()
    print(command, file=sys.stderr)
    text = output_of(command, folder)
    if old.startswith(FENCE):
        text = f"{old.splitlines()[0]}\n{text}\n{FENCE}"
    return f"{begin}{text}\n{end}"


def main() -> None:
    """Rewrite the README."""
    form = argparse.RawDescriptionHelpFormatter
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    arguments.add_argument("--only", default="", help="blocks whose command contains this")
    only: str = arguments.parse_args().only
    with tempfile.TemporaryDirectory() as folder:
        text = BLOCK.sub(
            lambda block: renewed(block, folder) if only in block[2] else block[0],
            README.read_text(encoding="utf-8"),
        )
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
