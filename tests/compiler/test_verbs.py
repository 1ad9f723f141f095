from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import imccompiler
from imccompiler.compiler import Compilation
from imccompiler.compiler.runtime import difference, run_onnx, sqnr_db
from imccompiler.compiler.simulation import simulate_folder
from imccompiler.errors import ModelError, UserInputError
from imccompiler.frontend import Network
from imccompiler.hardware.schema import Machine
from imccompiler.models import digits


def test_folder_and_compilation_give_the_same_outputs(compiled: Compilation, folder: Path) -> None:
    images = digits.heldout()[0][:3]
    here = imccompiler.execute(compiled, {"image": images})
    there = imccompiler.execute(folder, {"image": images})
    assert here["logits"].shape == (3, 10)
    np.testing.assert_array_equal(here["logits"], there["logits"])


def test_accuracy_on_held_out_digits(folder: Path) -> None:
    images, labels = digits.heldout()
    images, labels = images[:200], labels[:200]
    evaluation = imccompiler.evaluate(folder, {"image": images}, labels, ideal=True, compare=True)
    run = evaluation.run
    assert run.samples == 200
    assert run.accuracy == np.mean(evaluation.outputs["logits"].argmax(axis=1) == labels)
    assert run.accuracy is not None
    assert run.onnxruntime_accuracy is not None
    assert abs(run.accuracy - run.onnxruntime_accuracy) <= 0.02
    assert run.onnxruntime_sqnr_db is not None
    assert run.onnxruntime_sqnr_db > 20


def test_converters_of_too_few_bits_cost_accuracy(network: Network) -> None:
    images, labels = digits.heldout()
    images, labels = images[:100], labels[:100]
    compilation = imccompiler.compile(
        network,
        "isaac",
        set=["crossbar.adc.bits=3"],
        calibration={"image": digits.calibration()},
        effort=0,
    )
    ideal = imccompiler.evaluate(compilation, {"image": images}, labels, ideal=True).run
    own = imccompiler.evaluate(compilation, {"image": images}, labels).run
    assert own.accuracy is not None
    assert ideal.accuracy is not None
    assert own.accuracy < ideal.accuracy - 0.1


def test_errors_of_inputs(compiled: Compilation, folder: Path, tmp_path: Path) -> None:
    images = digits.heldout()[0][:2]
    with pytest.raises(UserInputError, match="labels of shape"):
        imccompiler.evaluate(compiled, {"image": images}, np.zeros(3))
    with pytest.raises(UserInputError, match="no array"):
        imccompiler.execute(folder, {})
    with pytest.raises(UserInputError, match="has no report"):
        imccompiler.execute(tmp_path, {})


def test_network_given_directly_has_nothing_to_compare_with(
    network: Network, machine: Machine
) -> None:
    compilation = imccompiler.compile(network, machine, effort=0)
    images = digits.heldout()[0][:2]
    with pytest.raises(UserInputError, match="not at hand"):
        imccompiler.evaluate(compilation, {"image": images}, compare=True)


def test_stream_of_images(compiled: Compilation) -> None:
    one = imccompiler.simulate(compiled)
    many = imccompiler.simulate(compiled, images=4)
    assert many.latency_ns == pytest.approx(one.latency_ns)
    assert 0 < many.interval_ns <= many.latency_ns


def test_simulating_a_folder_updates_it(tmp_path: Path) -> None:
    output = tmp_path / "out"
    imccompiler.compile("digits-mlp", "isaac", effort=0, output=output)
    before = (output / "report.html").read_text()
    report = simulate_folder(output, images=4)
    assert report.simulated is not None
    assert report.simulated.images == 4
    assert report.simulated.interval_ns is not None
    assert (output / "report.html").read_text() != before


def test_signal_to_noise() -> None:
    exact = {"y": np.array([3.0, 4.0])}
    assert sqnr_db({"y": np.array([3.0, 4.5])}, exact) == pytest.approx(20.0)
    assert sqnr_db(exact, exact) is None
    assert difference({"y": np.array([3.0, 4.5])}, exact) == 0.5


def test_model_that_is_none() -> None:
    with pytest.raises(ModelError, match="ONNX Runtime cannot run it"):
        run_onnx(b"nothing", {"x": np.zeros((1, 1))}, {})
