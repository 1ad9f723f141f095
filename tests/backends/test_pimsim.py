"""The files that pimsim-nn reads, and what is refused because it would not notice."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imccompiler.backends import pimsim
from imccompiler.errors import DoesNotFitError, ProgramError
from imccompiler.hardware.logical import logical
from imccompiler.hardware.schema import Machine
from imccompiler.program.artifact import Program
from imccompiler.program.isa import IMM, Op

MakeProgram = Callable[..., Program]


@pytest.fixture
def written(program: Program, pimcomp: Machine, tmp_path: Path) -> dict[str, Any]:
    pimsim.write(program, pimcomp, tmp_path / "pimsim")
    return json.loads(gzip.decompress((tmp_path / "pimsim/program.json.gz").read_bytes()))


def test_three_files(program: Program, pimcomp: Machine, tmp_path: Path) -> None:
    pimsim.write(program, pimcomp, tmp_path)
    names = {"program.json.gz", "chip.json", "network.json"}
    assert {f.name for f in tmp_path.iterdir()} == names


def test_config(written: dict[str, Any]) -> None:
    assert written["config"] == {
        "core_cnt": 3,
        "array_group_map": {"core0": [1, 4], "core2": [2]},
    }
    assert set(written) == {"config", "core0", "core2"}


def test_streams_are_the_unrolled_ones(written: dict[str, Any], program: Program) -> None:
    result = pimsim.unrolled(program)
    for core in (0, 2):
        begin, end = result.core_start[core : core + 2].tolist()
        names = [Op(int(op)).name.lower() for op in result.code[begin:end, 0]]
        assert [i["op"] for i in written[f"core{core}"]] == names


FIELDS = {
    "setbw in=8, out=24": {"op": "setbw", "ibiw": 8, "obiw": 24},
    "mvmul r1, r2, group=1": {"op": "mvmul", "rd": 1, "rs1": 2, "group": 1, "mbiw": 8},
    "vvadd r1, r2, r3, n=9": {"op": "vvadd", "rd": 1, "rs1": 2, "rs2": 3, "len": 9},
    "vvsra r1, r2, r3, n=9": {"op": "vvsra", "rd": 1, "rs1": 2, "rs2": 3, "len": 9},
    "vrelu r1, r2, n=9": {"op": "vrelu", "rd": 1, "rs1": 2, "len": 9},
    "vtanh r1, r2, n=9, function=0": {"op": "vtanh", "rd": 1, "rs1": 2, "len": 9},
    "ld r1, r2, bytes=9": {"op": "ld", "rd": 1, "rs1": 2, "size": 9},
    "st r1, r2, bytes=9": {"op": "st", "rd": 1, "rs1": 2, "size": 9},
    "lldi r1, bytes=9, byte=7": {"op": "lldi", "rd": 1, "imm": 7, "len": 9},
    "lmv r1, r2, bytes=9": {"op": "lmv", "rd": 1, "rs1": 2, "len": 9, "size": 9},
    "send r1, bytes=9, core=1": {"op": "send", "rd": 1, "rs1": 1, "core": 1, "size": 9},
    "sync event=4, core=1": {"op": "sync", "core": 1, "event_register": 4},
}
ANSWERS = {
    "recv r1, bytes=9, core=0": {"op": "recv", "rd": 1, "core": 0, "size": 9},
    "wait event=4, count=1": {"op": "wait", "event_register": 4, "wait_value": 1},
}


def test_fields(make_program: MakeProgram, pimcomp: Machine, tmp_path: Path) -> None:
    program = make_program("\n".join(FIELDS), "\n".join(ANSWERS), crossbars=((1, 2),))
    pimsim.write(program, pimcomp, tmp_path)
    content = json.loads(gzip.decompress((tmp_path / "program.json.gz").read_bytes()))
    assert [i for i in content["core0"] if i["op"] != "sldi"] == [*FIELDS.values()]
    assert [i for i in content["core1"] if i["op"] not in ("sldi", "setbw")] == [*ANSWERS.values()]
    assert {"op": "sldi", "rd": 1, "imm": 0} in content["core0"]


def test_summary_counts_instructions(
    program: Program, pimcomp: Machine, tmp_path: Path, written: dict[str, Any]
) -> None:
    summary = pimsim.write(program, pimcomp, tmp_path)
    assert summary.cores == 2
    assert summary.instructions == len(written["core0"]) + len(written["core2"])
    assert summary.operations["mvmul"] == 12


def test_same_bytes_twice(program: Program, pimcomp: Machine, tmp_path: Path) -> None:
    for name in ("a", "b"):
        pimsim.write(program, pimcomp, tmp_path / name)
    for file in ("program.json.gz", "chip.json", "network.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


# what is refused


def refused(
    program: Program, machine: Machine, folder: Path, kind: type[Exception] = ProgramError
) -> str:
    with pytest.raises(kind) as caught:
        pimsim.write(program, machine, folder / "refused")
    assert not (folder / "refused" / "program.json.gz").exists()
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("vfun r1, r2, r3, n=4, function=0", "`vfun` (Erf)"),
        ("vvacc r1, r2, n=4", "`vvacc`"),
        ("mvwr group=0", "`mvwr`"),
    ],
)
def test_missing_operations(
    make_program: MakeProgram, pimcomp: Machine, tmp_path: Path, text: str, name: str
) -> None:
    program = make_program(f".layer 1\nsetbw in=8, out=8\n{text}", crossbars=((1,),))
    message = refused(program, pimcomp, tmp_path)
    assert name in message
    assert "'gelu'" in message


def test_lost_message(
    program: Program, pimcomp: Machine, tmp_path: Path, with_code: Callable[..., Program]
) -> None:
    shorter = with_code(program, Op.LOOP, IMM, 2)  # core 0 sends 2, core 2 receives 2
    pimsim.write(shorter, pimcomp, tmp_path)
    other_size = with_code(program, Op.RECV, IMM, 95)
    message = refused(other_size, pimcomp, tmp_path)
    assert "message 0: 96 bytes sent, 95 bytes received" in message
    assert "core 0 to core 2" in message


def test_message_that_nobody_receives(
    make_program: MakeProgram, pimcomp: Machine, tmp_path: Path
) -> None:
    program = make_program("send r1, bytes=4, core=1", "lldi r1, bytes=4, byte=0")
    assert "4 bytes sent, nothing received" in refused(program, pimcomp, tmp_path)


def test_event_that_nobody_raises(
    make_program: MakeProgram, pimcomp: Machine, tmp_path: Path
) -> None:
    program = make_program("wait event=4, count=2", "sync event=4, core=0")
    message = refused(program, pimcomp, tmp_path)
    assert "event 4 is raised 1 times and awaited 2 times" in message


def test_message_to_itself(make_program: MakeProgram, pimcomp: Machine, tmp_path: Path) -> None:
    program = make_program("send r1, bytes=4, core=0\nrecv r1, bytes=4, core=0")
    assert "itself" in refused(program, pimcomp, tmp_path)


def test_operation_without_widths(
    make_program: MakeProgram, pimcomp: Machine, tmp_path: Path
) -> None:
    program = make_program("vrelu r1, r2, n=4\nsetbw in=8, out=8\nvrelu r1, r2, n=4")
    assert "setbw" in refused(program, pimcomp, tmp_path)


def test_too_many_crossbars(make_program: MakeProgram, pimcomp: Machine, tmp_path: Path) -> None:
    text = "setbw in=8, out=8\nmvmul r1, r2, group=0"
    pimsim.write(make_program(text, crossbars=((64,),)), pimcomp, tmp_path)
    program = make_program(text, crossbars=((60, 5),))
    message = refused(program, pimcomp, tmp_path, DoesNotFitError)
    assert "65 crossbars needed, 64 available" in message
    assert "core 0" in message


def test_too_much_memory(program: Program, pimcomp: Machine, tmp_path: Path) -> None:
    local = np.array([2**20, 0, 2**20 + 1])
    message = refused(replace(program, local_bytes=local), pimcomp, tmp_path, DoesNotFitError)
    assert "bytes of local memory" in message
    assert "core 2" in message


def test_too_many_cores(make_program: MakeProgram, pimcomp: Machine, tmp_path: Path) -> None:
    program = make_program(*["lldi r1, bytes=1, byte=0"] * 145)
    assert "145 cores" in refused(program, pimcomp, tmp_path, DoesNotFitError)


def test_gap_in_group_numbers(program: Program, pimcomp: Machine, tmp_path: Path) -> None:
    groups = program.groups.copy()
    groups[groups[:, 0] == 2, 1] = 1
    assert "without gaps" in refused(replace(program, groups=groups), pimcomp, tmp_path)


def test_nothing_to_do(make_program: MakeProgram, pimcomp: Machine, tmp_path: Path) -> None:
    assert "no core" in refused(make_program("sldi r1, imm=0"), pimcomp, tmp_path)


def test_logical_crossbars_make_mbiw_count_all_columns(
    program: Program, pimcomp: Machine, tmp_path: Path
) -> None:
    pimsim.write(program, logical(pimcomp), tmp_path)
    content = json.loads(gzip.decompress((tmp_path / "program.json.gz").read_bytes()))
    chip = json.loads((tmp_path / "chip.json").read_text(encoding="utf-8"))
    matrix = chip["chip_config"]["core_config"]["matrix_config"]
    product = next(i for i in content["core0"] if i["op"] == "mvmul")
    assert matrix["cell_precision"] == 8
    assert matrix["cell_precision"] * matrix["xbar_size"][1] // product["mbiw"] == 128
