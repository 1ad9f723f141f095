"""Programs on disk: they come back whole, or not at all."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pytest

from imccompiler.errors import ProgramError
from imccompiler.program.files import content_hash, load, save


def test_a_program_comes_back_equal(program, tmp_path):
    save(program, tmp_path / "program")
    back = load(tmp_path / "program")
    for field in fields(program):
        before, after = getattr(program, field.name), getattr(back, field.name)
        if field.name == "functions":
            (f,), (g,) = before, after
            assert np.array_equal(f.constants.pop(1), g.constants.pop(1))
            assert f == g
        elif field.name == "images":
            assert [(c, a, v.tolist()) for c, a, v in before] == [
                (c, a, v.tolist()) for c, a, v in after
            ]
        elif field.name == "matrices":
            assert list(before) == list(after)
            assert all(np.array_equal(before[k], after[k]) for k in before)
        else:
            assert (
                np.array_equal(before, after) if isinstance(before, np.ndarray) else before == after
            )


def test_arrays_are_mapped_and_nothing_else_lies_about(program, tmp_path):
    save(program, tmp_path / "program")
    assert isinstance(load(tmp_path / "program").code, np.memmap)
    assert [p.name for p in tmp_path.iterdir()] == ["program"]
    assert sorted(p.name for p in (tmp_path / "program").iterdir()) == [
        "code.npy",
        "core_start.npy",
        "groups.npy",
        "image_index.npy",
        "images.npy",
        "local_bytes.npy",
        "program.json",
        "tiles.npy",
        "weights.safetensors",
    ]


def test_a_program_without_weights_and_images(program, tmp_path):
    empty = replace(
        program,
        groups=program.groups[:0],
        tiles=program.tiles[:0],
        matrices={},
        images=(),
        functions=(),
    )
    save(empty, tmp_path / "program")
    assert content_hash(load(tmp_path / "program")) == content_hash(empty)


def test_the_hash_covers_everything(program, tmp_path):
    save(program, tmp_path / "program")
    assert content_hash(load(tmp_path / "program")) == content_hash(program)
    code, tiles = program.code.copy(), program.tiles.copy()
    code[3, 4] += 1
    tiles[1, 2] += 1
    matrices = {**program.matrices, "b": program.matrices["b"] + np.int16(1)}
    (function,) = program.functions
    others = [
        replace(program, code=code),
        replace(program, tiles=tiles),
        replace(program, matrices=matrices),
        replace(program, layers=("conv", "other")),
        replace(program, functions=(replace(function, constants={1: np.ones(2, np.float32)}),)),
        replace(program, images=((0, 9, program.images[0][2]),)),
    ]
    assert len({content_hash(p) for p in (program, *others)}) == 1 + len(others)


def test_saving_again_replaces_the_whole(program, tmp_path):
    folder = tmp_path / "program"
    save(program, folder)
    (folder / "leftover.npy").write_bytes(b"")
    mapped = load(folder)
    save(replace(program, layers=("a", "b")), folder)
    assert load(folder).layers == ("a", "b")
    assert not (folder / "leftover.npy").exists()
    assert np.array_equal(mapped.code, program.code)


def test_other_folders_are_not_replaced(program, tmp_path):
    (tmp_path / "thesis.txt").write_text("dear reader")
    with pytest.raises(ProgramError, match="something else than a program"):
        save(program, tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-3])


def _edit(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("program.json", lambda p: p.unlink(), "there is no program here"),
        ("program.json", _truncate, "cannot be read"),
        ("program.json", lambda p: p.write_text("[]"), "format version None"),
        ("program.json", lambda p: _edit(p, format_version=99), "version 99, this release reads 1"),
        ("program.json", lambda p: _edit(p, matrices=["a", "b", "c"]), "damaged: KeyError"),
        ("program.json", lambda p: _edit(p, inputs=[{}]), "damaged: KeyError"),
        ("code.npy", lambda p: p.unlink(), "cannot be read"),
        ("code.npy", _truncate, "cannot be read"),
        ("code.npy", lambda p: p.write_bytes(b""), "cannot be read"),
        ("code.npy", lambda p: np.save(p, np.zeros((2, 7))), "holds float64 of shape"),
        ("tiles.npy", lambda p: np.save(p, np.zeros((2, 7), np.int32)), "not the `tiles` table"),
        ("groups.npy", lambda p: np.save(p, np.array([{}]), allow_pickle=True), "cannot be read"),
        ("image_index.npy", lambda p: np.save(p, np.full((1, 4), 99)), "outside images"),
        ("weights.safetensors", _truncate, "cannot be read"),
        ("weights.safetensors", lambda p: p.unlink(), "cannot be read"),
    ],
)
def test_damage_is_an_error_that_names_the_file(program, tmp_path, name, damage, message):
    save(program, tmp_path / "program")
    damage(tmp_path / "program" / name)
    with pytest.raises(ProgramError, match=message) as caught:
        load(tmp_path / "program")
    assert str(tmp_path) in str(caught.value)
