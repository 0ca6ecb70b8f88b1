"""Loads a pre-trained checkpoint into a network, strictly and without executing any code in the file."""

from __future__ import annotations

import dataclasses
import math
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from trainable.network.card import FrontEnd
from trainable.weights.weights import WrongWeights

if TYPE_CHECKING:
    from trainable.network.backbone import Backbone

State = dict[str, Tensor]
NEVER_NEGATIVE = ("running_var", "num_batches_tracked", "norm.std")  # suffixes of the names of variances and counts
# Flipping the highest bit of an exponent multiplies by 2^128, which exceeds this from 1e-26 on; float16 ends at 65,504.
LARGEST = 1e12


def _as_it_is(state: State) -> State:
    return state


def load(
    network: Backbone, path: Path, front_end: FrontEnd, from_published: Callable[[State], State] = _as_it_is
) -> None:
    """Loads a checkpoint into `network`, strictly; changes nothing if it does not fit.

    A checkpoint is {"model": state dict, ...}, or a state dict alone.

    The classifier gets the checkpoint's number of classes; the caller replaces it afterwards. A checkpoint may state
    its front end, in a "front_end" entry (the fields of `FrontEnd`) or by the fixed matrices of the published files.

    Args:
        from_published: renames a published state dict for `network`; checkpoints of runs need no renaming.

    Raises:
        WrongWeights: if the file is not a checkpoint, is damaged, contains anything but tensors and numbers, belongs
            to another network or front end, or has values that no trained network has.
    """
    checkpoint = _read(path)
    _check_values(checkpoint["model"], path)
    state = _without_front_end(network, checkpoint["model"], checkpoint.get("front_end"), front_end, path)
    if "key" not in checkpoint:
        try:
            state = from_published(state)
        except (RuntimeError, ValueError) as error:
            raise WrongWeights(f"{path}: does not fit the network: {error}; get it again") from error
    head = network.head
    num_classes = max(1, *(_shape(state.get(f"{head}.bias")) or (network.classifier.out_features,)))
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    expected |= {f"{head}.weight": (num_classes, network.classifier.in_features), f"{head}.bias": (num_classes,)}
    _check_layout(network, state, expected, path)
    _check_types(state, network, path)
    network.replace_classifier(num_classes, torch.Generator())
    network.load_state_dict(state)


def _read(path: Path) -> dict[str, Any]:
    """The dictionary of the checkpoint; no code in the file is executed."""
    try:
        if path.suffix == ".safetensors":
            return {"model": safetensors.torch.load_file(path)}
        if zipfile.is_zipfile(path):  # torch ignores the checksums: it read 824 of 1,000 files with a flipped bit
            with zipfile.ZipFile(path) as archive:
                if record := archive.testzip():
                    raise zipfile.BadZipFile(f"the checksum of {record} is wrong")
        with torch.serialization.safe_globals(_numpy_types()), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Validating sparse")  # sparse tensors are refused later, by name
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything
        why = _why_unreadable(path, str(error))
        raise WrongWeights(f"{path}: is not a checkpoint of tensors and numbers: {why}; get it again") from error
    if isinstance(checkpoint, dict) and checkpoint and all(isinstance(v, Tensor) for v in checkpoint.values()):
        return {"model": checkpoint}  # a state dict alone
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("model"), dict):
        raise WrongWeights(f'{path}: has no state dict under "model"; save it as {{"model": state_dict}}')
    return checkpoint


def _why_unreadable(path: Path, error: str) -> str:
    """The cause in a few words; torch's own message would advise to load the file unsafely."""
    with path.open("rb") as file:
        if file.read(256).lstrip().startswith(b"<"):
            return "it is a web page"
    refused = re.search(r"GLOBAL ([\w.]+)", error)
    return f"it asks for {refused[1]}" if refused else f"truncated or damaged ({error.partition(chr(10))[0][:80]})"


def _numpy_types() -> list[Any]:
    """The types for unpickling numpy numbers and arrays, by their names in numpy 1 and 2; the 16 kHz file has some."""
    dtypes = {type(np.dtype(code)) for code in np.typecodes["AllInteger"] + np.typecodes["Float"] + "?"}
    makers = (np._core.multiarray._reconstruct, np._core.multiarray.scalar)  # type: ignore[attr-defined]
    names = [(make, f"numpy.{core}.multiarray.{make.__name__}") for make in makers for core in ("core", "_core")]
    return [np.ndarray, np.dtype, *dtypes, *names]


def _check_values(state: State, path: Path) -> None:
    """Refuses tensors that no network has learnt: those without values, and those with impossible values."""
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            continue  # the layout is checked later
        if kind := _unusual(value):
            raise WrongWeights(
                f"{path}: {name} is a {kind} tensor; save plain ones, with values: "
                "{name: value.to_dense().cpu() for name, value in network.state_dict().items()}"
            )
        if fault := _impossible(str(name), value):
            raise WrongWeights(
                f"{path}: {name} has {fault}, as no trained network has: it is damaged, or its run diverged"
            )


def _unusual(value: Tensor) -> str:
    """The kind of an unusual tensor; empty for a plain tensor of real numbers."""
    kinds = {
        "meta": value.is_meta,
        "nested": value.is_nested,
        "quantized": value.is_quantized,
        "sparse": value.layout != torch.strided,
        "complex": value.is_complex(),
    }
    return next((kind for kind, holds in kinds.items() if holds), "")


def _impossible(name: str, value: Tensor) -> str:
    """The fault in a tensor's values that no training can produce; empty if there is none."""
    if not value.numel():
        return ""
    exact = value if value.dtype in (torch.float32, torch.float64) else value.double()
    low, high = (float(v) for v in exact.detach().aminmax())  # both are NaN if any value is
    if not (math.isfinite(low) and math.isfinite(high)):
        return "values that are not finite"
    if max(-low, high) > LARGEST:
        return f"values up to {max(-low, high):.2g}"
    return f"negative values, down to {low:.2g}" if low < 0 and name.endswith(NEVER_NEGATIVE) else ""


def _check_types(state: State, network: Backbone, path: Path) -> None:
    """Refuses integers where the network has floating-point numbers, and vice versa."""
    for name, expected in network.state_dict().items():
        if state[name].is_floating_point() != expected.is_floating_point():
            raise WrongWeights(f"{path}: {name} holds {state[name].dtype} instead of {expected.dtype}; get it again")


def _shape(value: object) -> tuple[int, ...] | None:
    """The shape of a tensor; None for anything else."""
    return tuple(value.shape) if isinstance(value, torch.Tensor) else None


def _without_front_end(network: Backbone, state: State, saved: object, front_end: FrontEnd, path: Path) -> State:
    """`state` without the matrices of its front end, which must be those of `front_end`."""
    complaint = f"belongs to another front end than that of {front_end.rate_hz} Hz"
    if saved is not None and saved != dataclasses.asdict(front_end):
        raise WrongWeights(f"{path}: {complaint}: {saved}; set pretrain_hz to its rate")
    fixed = network.fixed_matrices(front_end)
    for name, expected in fixed.items():
        actual = state.get(name, expected)
        if _shape(actual) != _shape(expected):
            shapes = f"{_shape(actual)} instead of {_shape(expected)}"
            raise WrongWeights(f"{path}: {complaint}: {name} {shapes}{_probably(network, state)}")
        # The sign of the imaginary part is a convention; the power does not depend on it.
        if not (actual.abs() - expected.abs()).abs().max() <= 1e-3 * expected.abs().max():
            raise WrongWeights(f"{path}: {complaint}: the values of {name} differ")
    return {name: value for name, value in state.items() if name not in fixed}


def _check_layout(network: Backbone, state: State, expected: dict[str, tuple[int, ...]], path: Path) -> None:
    shapes = {name: _shape(value) for name, value in state.items()}
    differences = {
        "missing": [n for n in expected if n not in shapes],
        "unknown": [n for n in shapes if n not in expected],
        "of another shape": [
            f"{n} {shapes[n]} instead of {shape}" for n, shape in expected.items() if shapes.get(n, shape) != shape
        ],
    }
    faults = [f"{len(names)} {kind} ({', '.join(map(str, names[:3]))})" for kind, names in differences.items() if names]
    if faults:
        raise WrongWeights(f"{path}: does not fit the network: {'; '.join(faults)}{_probably(network, state)}")


def _probably(network: Backbone, state: State) -> str:
    """A guess from which network a state dict is, for the end of a message; empty if there is none."""
    guess = network.probably(state)
    return f"; it is probably {guess}" if guess else ""
