"""The demand network: weights, the same graph in onnxruntime and in numpy, and its gradients.

A residual network on 70 scale-free features. Outputs multiply the structural base of features.py:
mean = base x exp(o0); quantiles are running sums of base x exp(ok), so they are positive and never cross.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.features import BASE_FLOOR, ITEM_FEATURES, TARGET_FEATURES
from models.panel import Floats

WINDOW_FEATURES = (
    "mean",
    "span",
    "start",
    "spread",
    "closed",
    "promotion",
    "steady",
)  # of the network for sums
LEVELS = (0.1, 0.5, 0.9, 0.95, 0.99)
OUTPUTS = 1 + len(LEVELS)
HIDDEN = 64
BLOCKS = 2
CLIP = 6.0
Weights = dict[str, Floats]


def fresh_weights(
    rng: np.random.Generator, inputs: int, outputs: int = OUTPUTS, hidden: int = HIDDEN
) -> Weights:
    """Weights that start at the structural base with plausible spreads."""

    def matrix(rows: int, columns: int, gain: float) -> Floats:
        out: Floats = (rng.standard_normal((rows, columns)) * gain / np.sqrt(rows)).astype(np.float32)
        return out

    weights = {"shift": np.zeros(inputs, np.float32), "stretch": np.ones(inputs, np.float32)}
    weights |= {"w0": matrix(inputs, hidden, 1.4), "b0": np.zeros(hidden, np.float32)}
    for block in range(1, BLOCKS + 1):
        weights[f"w{block}"] = matrix(hidden, hidden, 1.0)
        weights[f"b{block}"] = np.zeros(hidden, np.float32)
    weights["out_w"] = matrix(hidden, outputs, 0.1)
    weights["out_b"] = np.array([0, -2, -0.7, -0.3, -1.5, -1.2], np.float32)[:outputs]
    return weights


def forward(weights: Weights, x: Floats) -> Floats:
    """(rows, OUTPUTS) raw outputs in numpy: the fallback, and what the gradients belong to."""
    return _layers(weights, x)[-1]


def _layers(weights: Weights, x: Floats) -> list[Floats]:
    h = np.maximum(_standard(weights, x) @ weights["w0"] + weights["b0"], 0)
    layers = [h]
    for block in range(1, BLOCKS + 1):
        h = h + np.maximum(h @ weights[f"w{block}"] + weights[f"b{block}"], 0)
        layers.append(h)
    layers.append(np.clip(h @ weights["out_w"] + weights["out_b"], -CLIP, CLIP))
    return layers


def _standard(weights: Weights, x: Floats) -> Floats:
    out: Floats = np.clip((x - weights["shift"]) * weights["stretch"], -4, 4)
    return out


def read_out(raw: Floats, base: Floats) -> tuple[Floats, Floats]:
    """Raw outputs (..., OUTPUTS) and base (...) to the mean (...) and quantiles (..., LEVELS), in units of scale."""
    grown = np.exp(raw) * (base + BASE_FLOOR)[..., None]
    return grown[..., 0], np.cumsum(grown[..., 1:], -1)


def loss_and_gradients(
    weights: Weights, x: Floats, base: Floats, y: Floats, weight: Floats
) -> tuple[float, Weights]:
    """Poisson deviance of the mean plus pinball losses, and d loss / d weights. y, base in units of scale."""
    layers = _layers(weights, x)
    raw = layers[-1]
    floor = (base + BASE_FLOOR)[:, None]
    grown = np.exp(raw) * floor
    mean, quantiles = grown[:, :1], np.cumsum(grown[:, 1:], 1)
    levels = np.asarray(LEVELS, np.float32)
    error = y[:, None] - quantiles
    slope = np.where(error > 0, -levels, 1 - levels)
    w = (weight / weight.sum())[:, None]
    loss = float((w * (mean - y[:, None] * np.log(mean))).sum() + (w * -error * slope).sum())
    d_grown = np.cumsum(slope[:, ::-1], 1)[:, ::-1]  # an increment moves every quantile above it
    d_raw = np.concatenate([mean - y[:, None], d_grown * grown[:, 1:]], 1) * w
    d_raw *= np.abs(raw) < CLIP
    gradients: Weights = {"out_w": layers[-2].T @ d_raw, "out_b": d_raw.sum(0)}
    d_h = d_raw @ weights["out_w"].T
    for block in range(BLOCKS, 0, -1):
        d_a = d_h * (layers[block] > layers[block - 1])
        gradients[f"w{block}"] = layers[block - 1].T @ d_a
        gradients[f"b{block}"] = d_a.sum(0)
        d_h = d_h + d_a @ weights[f"w{block}"].T
    d_a = d_h * (layers[0] > 0)
    gradients["w0"] = _standard(weights, x).T @ d_a
    gradients["b0"] = d_a.sum(0)
    return loss, gradients


@dataclass(slots=True)
class Adam:
    """Adam with a slow average of the weights, which is what forecasts; the average costs nothing and is steadier."""

    weights: Weights
    average: Weights
    first: Weights
    second: Weights
    step: int = 0

    @classmethod
    def start(cls, weights: Weights) -> Adam:
        learned = {name: value.copy() for name, value in weights.items() if name not in ("shift", "stretch")}
        fixed = {name: weights[name] for name in ("shift", "stretch")}
        zeros = {name: np.zeros_like(value) for name, value in learned.items()}
        copy = {name: value.copy() for name, value in learned.items()}
        return cls(
            learned | fixed, copy | fixed, zeros, {name: value.copy() for name, value in zeros.items()}
        )

    def update(self, gradients: Weights, rate: float, decay: float = 0.0, average_rate: float = 0.02) -> None:
        self.step += 1
        fix1, fix2 = 1 - 0.9**self.step, 1 - 0.999**self.step
        keep = max(average_rate, 1 / self.step)
        for name in sorted(gradients):
            g = gradients[name]
            m, v, w = self.first[name], self.second[name], self.weights[name]
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            w -= np.float32(rate / fix1) * m / (np.sqrt(v / np.float32(fix2)) + np.float32(1e-7))
            if decay and w.ndim == 2:
                w *= np.float32(1 - rate * decay)
            self.average[name] += np.float32(keep) * (w - self.average[name])


INPUTS = len(ITEM_FEATURES) + len(TARGET_FEATURES)
WINDOW_INPUTS = len(ITEM_FEATURES) + len(WINDOW_FEATURES)


def pack(nets: dict[str, Weights]) -> bytes:
    """Weights of several networks as the bytes of one npz: a row of forecast.db, or the shipped file."""
    buffer = io.BytesIO()
    named = {f"{net}.{name}": value for net, weights in nets.items() for name, value in weights.items()}
    np.savez(buffer, allow_pickle=False, **{name: named[name] for name in sorted(named)})
    return buffer.getvalue()


def unpack(blob: bytes) -> dict[str, Weights]:
    """The inverse of `pack`; raises ValueError when the bytes are not the weights of this version's networks."""
    nets: dict[str, Weights] = {}
    try:
        with np.load(io.BytesIO(blob), allow_pickle=False) as arrays:
            for key in arrays.files:
                net, name = key.split(".")
                nets.setdefault(net, {})[name] = arrays[key].astype(np.float32)
    except (
        Exception
    ) as error:  # zipfile, zlib, struct and numpy each have their own way to say "not a model file"
        raise ValueError(f"not a model file: {error}") from error
    for net, weights in nets.items():
        if not all(np.isfinite(value).all() for value in weights.values()):
            raise ValueError(f"network {net} has a weight that is not a number")
    return nets


def save_model(path: Path, nets: dict[str, Weights]) -> None:
    path.write_bytes(pack(nets))


def fingerprint(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()[:12]


GRAPHS = Path(__file__).parent / "graphs"
SHIPPED = GRAPHS / "shipped.npz"


class Graph:
    """The shipped graph in onnxruntime with the weights of a call; numpy when the runtime or the file is not usable."""

    def __init__(self, path: Path, inputs: int) -> None:
        self.trouble = ""
        self._session = None
        try:
            import onnxruntime  # 60 MB: only in the worker, and only when it forecasts

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            options.enable_cpu_mem_arena = False
            options.log_severity_level = (
                3  # it warns that constant folding is off for overridable weights: we want that
            )
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            if session.get_inputs()[0].shape[1] != inputs:
                raise ValueError(
                    f"{path.name} takes {session.get_inputs()[0].shape[1]} features, this version has {inputs}"
                )
            self._session = session
        except (
            Exception
        ) as error:  # onnxruntime raises its own unrelated types; whatever it is, numpy can serve
            self.trouble = (
                f"{path.name} is not usable ({type(error).__name__}); the same network runs in numpy"
            )

    def raw(self, weights: Weights, x: Floats) -> Floats:
        """(rows, OUTPUTS)"""
        if self._session is None:
            return forward(weights, x)
        out: Floats = self._session.run(["raw"], {"x": np.ascontiguousarray(x, np.float32)} | weights)[0]
        return out
