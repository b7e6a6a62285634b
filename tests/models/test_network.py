import hashlib
from pathlib import Path

import numpy as np
import pytest

from models.network import (
    GRAPHS,
    INPUTS,
    LEVELS,
    SHIPPED,
    WINDOW_INPUTS,
    Graph,
    forward,
    fresh_weights,
    loss_and_gradients,
    pack,
    read_out,
    unpack,
)


@pytest.fixture(scope="module")
def shipped():
    return unpack(SHIPPED.read_bytes())


def inputs(rows: int, columns: int = INPUTS) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((rows, columns)).astype(np.float32)


@pytest.mark.parametrize(
    ("graph", "net", "columns"), [("demand", "day", INPUTS), ("sums", "window", WINDOW_INPUTS)]
)
def test_the_graph_in_onnxruntime_says_what_numpy_says(shipped, graph, net, columns):
    x = inputs(50, columns)

    session = Graph(GRAPHS / f"{graph}.onnx", columns)

    assert session.trouble == ""
    np.testing.assert_allclose(session.raw(shipped[net], x), forward(shipped[net], x), atol=2e-4)


def test_learned_weights_override_the_shipped_ones_by_name(shipped):
    learned = shipped["day"] | {
        "out_w": shipped["day"]["out_w"] * 0,
        "out_b": shipped["day"]["out_b"] * 0 + 2,
    }

    assert (Graph(GRAPHS / "demand.onnx", INPUTS).raw(learned, inputs(3)) == 2).all()


def test_a_corrupt_graph_is_said_and_numpy_serves(tmp_path, shipped):
    (tmp_path / "demand.onnx").write_bytes(b"not a graph")

    graph = Graph(tmp_path / "demand.onnx", INPUTS)

    assert "demand.onnx is not usable" in graph.trouble
    assert graph.raw(shipped["day"], inputs(3)).shape == (3, 1 + len(LEVELS))


def test_a_graph_of_another_version_is_said_and_numpy_serves():
    assert "not usable" in Graph(GRAPHS / "sums.onnx", INPUTS).trouble


def test_gradients_are_the_slopes_of_the_loss():
    rng = np.random.default_rng(2)
    weights = {name: value.astype(np.float64) for name, value in fresh_weights(rng, 6, hidden=5).items()}
    x, base, y = rng.standard_normal((40, 6)), rng.random(40) + 0.5, rng.poisson(2, 40) * 1.0
    weight = np.ones(40)

    _, gradients = loss_and_gradients(weights, x, base, y, weight)

    for name in ("w0", "b1", "w2", "out_w"):
        nudged = {key: value.copy() for key, value in weights.items()}
        spot = (0,) * nudged[name].ndim
        nudged[name][spot] += 1e-5
        slope = (
            loss_and_gradients(nudged, x, base, y, weight)[0]
            - loss_and_gradients(weights, x, base, y, weight)[0]
        ) / 1e-5
        assert slope == pytest.approx(gradients[name][spot], abs=2e-3)


def test_quantiles_never_cross_and_are_never_negative_whatever_the_network_says():
    raw = np.random.default_rng(3).uniform(-6, 6, (200, 6)).astype(np.float32)

    _, quantiles = read_out(raw, np.zeros(200, np.float32))

    assert (np.diff(quantiles, axis=1) >= 0).all() and (quantiles >= 0).all()


def test_weights_survive_their_bytes(shipped):
    again = unpack(pack(shipped))

    assert sorted(again) == ["day", "window"]
    assert all((again[net][name] == shipped[net][name]).all() for net in again for name in again[net])


@pytest.mark.parametrize(
    "blob", [b"", b"PK\x03\x04 half a zip", b"\x00" * 500], ids=["empty", "torn", "zeros"]
)
def test_bytes_that_are_no_model_are_refused(blob):
    with pytest.raises(ValueError, match="not a model file"):
        unpack(blob)


def test_a_weight_that_is_not_a_number_is_refused(shipped):
    with pytest.raises(ValueError, match="not a number"):
        unpack(pack({"day": shipped["day"] | {"b0": shipped["day"]["b0"] * np.nan}}))


@pytest.mark.parametrize("file", ["shipped.npz", "demand.onnx", "sums.onnx"])
def test_the_model_card_names_the_very_files_that_are_shipped(file):
    card = (Path(__file__).parents[2] / "docs" / "model-card.md").read_text()

    assert hashlib.sha256((GRAPHS / file).read_bytes()).hexdigest() in card
