from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imccompiler.errors import UserInputError
from imccompiler.search import read_space
from imccompiler.search.genes import Gene, Genome, design_of

VALUES = st.lists(
    st.one_of(st.integers(), st.floats(allow_nan=False), st.text(), st.lists(st.integers())),
    min_size=1,
    max_size=6,
    unique_by=str,
)


@st.composite
def genomes(draw: st.DrawFn) -> Genome:
    choices = draw(st.lists(VALUES.filter(lambda v: all(v.count(x) == 1 for x in v)), max_size=5))
    genes = tuple(Gene(f"g{i}", tuple(v), ordered=False) for i, v in enumerate(choices))
    return Genome(genes, {"fixed": 1})


@given(genomes(), st.data())
def test_decoding_and_encoding_are_inverse(genome, data):
    candidate = tuple(data.draw(st.integers(0, size - 1)) for size in genome.sizes)
    values = genome.decode(candidate)
    assert values["fixed"] == 1
    assert genome.encode(values) == candidate


@given(genomes(), st.lists(st.integers(-2, 8), max_size=6))
def test_what_is_no_candidate_is_refused(genome, indices):
    inside = len(indices) == len(genome.genes) and all(
        0 <= i < n for i, n in zip(indices, genome.sizes, strict=True)
    )
    if inside:
        genome.decode(tuple(indices))
    else:
        with pytest.raises(UserInputError, match="no candidate"):
            genome.decode(tuple(indices))


def test_values_that_a_gene_does_not_have_are_refused():
    genome = Genome((Gene("rows", (64, 128), ordered=True),), {})
    with pytest.raises(UserInputError, match="'rows' cannot be 96"):
        genome.encode({"rows": 96})
    with pytest.raises(UserInputError, match="no value for 'rows'"):
        genome.encode({})


def test_a_design_has_fields_variants_and_options(space):
    read = read_space(space()).space
    genome = Genome.of(read)
    assert [gene.name for gene in genome.genes] == [
        *("chip.grid", "core.crossbars", "adc.bits", "cell.bits", "array", "quantize.method")
    ]
    assert genome.size == 3 * 3 * 6 * 3 * 2 * 2
    design = design_of(read, genome.decode((1, 0, 5, 1, 0, 1)))
    assert design.network == "digits-mlp"
    assert design.overrides == {
        "chip.grid": [1, 2],
        "core.crossbars": 1,
        "adc.bits": 8,
        "cell.bits": 2,
        "crossbar.rows": 64,
        "crossbar.columns": 64,
    }
    assert design.options == {"quantize.method": "mse"}
    assert design.objective == "latency"
