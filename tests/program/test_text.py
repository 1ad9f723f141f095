"""The text form of instruction streams."""

from __future__ import annotations

import re

import numpy as np
import pytest

from imccompiler.errors import ProgramError
from imccompiler.program.isa import Op
from imccompiler.program.text import assemble, render

TEXT = """\
.layer 0  ; conv1
setbw in=8, out=24
sldi r3, imm=-5
loop times=56
  loop times=4
    mvmul r1, r2, group=7
    .layer 1  ; relu
    vrelu r1, r1, n=64
  saddi r1, r1, imm=64
send r1, bytes=64, core=3
"""


def test_text_reads_back_to_itself():
    code = assemble(TEXT)
    assert render(code, ("conv1", "relu")) == TEXT
    assert code[2].tolist() == [Op.LOOP, 0, 0, 0, 56, 4, 0]
    assert code[3].tolist() == [Op.LOOP, 0, 0, 0, 4, 2, 0]
    assert code[5].tolist() == [Op.VRELU, 1, 1, 0, 64, 0, 1]
    assert code[7].tolist() == [Op.SEND, 0, 1, 0, 64, 3, 1]


def test_every_operation_has_a_text():
    rng = np.random.default_rng(0)
    rows = [[op, *rng.integers(0, 32, 5), 0] for op in Op if op is not Op.LOOP]
    text = render(np.array(rows, np.int32))
    assert render(assemble(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sldi r0, imm=1\nfoo r1", "line 2: no instruction is named 'foo'"),
        ("sldi r0", "sldi takes 2 operands"),
        ("sldi r0, n=3", "expected imm=..., not 'n=3'"),
        ("sldi r0, imm=x", "'x' is not an integer"),
        ("loop times=3\nsldi r0, imm=1", "line 2: the loop before it is empty"),
    ],
)
def test_a_wrong_line_is_named(text, message):
    with pytest.raises(ProgramError, match=re.escape(message)):
        assemble(text)
