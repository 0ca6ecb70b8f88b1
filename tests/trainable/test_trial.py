"""A trial from the cache to its predictions: what it leaves, what it never looks at, and how the next one starts."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from datasets.engine import prepare, splits
from datasets.engine.clips import open_clips
from datasets.engine.prepare import Source, Wanted
from datasets.synthetic.corpora import write_esc50
from sweeps.recipes.mohammadi import RATES
from trainable import examples, trial
from trainable.config import TrialConfig
from trainable.device.place import NO_ROOM, Place
from trainable.finetune import Row, predict
from trainable.result import metrics, record
from trainable.result.usage import MEASURED
from trainable.weights import checkpoint, pretrained, weights

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]
CONFIG = RATES.but(
    corpus="esc50",
    pretrain_hz=8_000,
    data_hz=8_000,
    split="published",
    clip_s=1.0,
    weights="none",
    width=1 / 64,
    lr=1e-3,
    batch=8,
    epochs=3,
)


class Material(NamedTuple):
    """A cache entry and a split manifest."""

    clips: Path
    split: Path


class Left(NamedTuple):
    """A trial that was run, what it returned, and the rows that it reported."""

    folder: Path
    scores: Row
    rows: list[Row]


@pytest.fixture(scope="module")
def materials(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Material]:
    """A function that makes an invented ESC-50 of so many classes, cut into clips of 1 s."""
    made: dict[int, Material] = {}

    def material(num_classes: int) -> Material:
        if num_classes not in made:
            root = tmp_path_factory.mktemp("esc50")
            write_esc50(root / "audio", num_classes=num_classes, rate_hz=16_000)
            source = Source(root / "audio", root / "cache")
            prepared = prepare.prepare(Wanted("esc50", (), "published", CONFIG.clip_s), source)
            (clips,) = prepare.clips(prepared, [CONFIG.data_hz], CONFIG.clip_s, source).values()
            made[num_classes] = Material(clips, splits.write(prepared.split, root / "splits"))
        return made[num_classes]

    return material


def run(
    material: Material,
    folder: Path,
    config: TrialConfig = CONFIG,
    pretrained: Path | None = None,
    report: Callable[[Row], None] = lambda row: None,
) -> Left:
    rows: list[Row] = []

    def told(row: Row) -> None:
        rows.append(row)
        report(row)

    place = Place(material.clips, material.split, pretrained, folder)
    return Left(folder, trial.run(config, place, told), rows)


@pytest.fixture(scope="module")
def left(materials: Callable[[int], Material], tmp_path_factory: pytest.TempPathFactory) -> Left:
    """A trial on three classes."""
    return run(materials(3), tmp_path_factory.mktemp("trial"))


def stored(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "predictions.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def test_embeddings_are_kept_where_they_are_asked_for(
    materials: Callable[[int], Material], left: Left, tmp_path: Path
) -> None:
    """Those of all roles, in half precision; the classifier makes the stored logits of the test clips' of them."""
    assert not (left.folder / "embeddings.npz").exists()
    config = dataclasses.replace(CONFIG, keep="embeddings")
    kept = run(materials(3), tmp_path, config)
    with np.load(kept.folder / "embeddings.npz", allow_pickle=False) as arrays:
        found = dict(arrays)
    clips, split = open_clips(materials(3).clips), splits.read(materials(3).split)
    for role in ("train", "validation", "test"):
        chosen = np.array([split.roles.get(i) == role for i in clips.recording])
        assert found[role].dtype == np.float16
        assert len(found[role]) == chosen.sum()
        assert np.array_equal(found[f"{role}_recording"], clips.recording[chosen])
        assert np.array_equal(found[f"{role}_labels"], clips.label[chosen])
    model = torch.load(kept.folder / "best.pt", weights_only=True)["model"]
    logits = (
        found["test"].astype(np.float32) @ model["fc_audioset.weight"].numpy().T + model["fc_audioset.bias"].numpy()
    )
    np.testing.assert_allclose(logits, stored(kept.folder)["logits"], atol=2e-3)
    assert np.array_equal(stored(kept.folder)["logits"], stored(left.folder)["logits"])
    assert "embeddings.npz" in record.read(kept.folder).files  # type: ignore[union-attr]


def test_predictions_are_of_every_test_clip(left: Left, materials: Callable[[int], Material]) -> None:
    """Logits, labels, recordings and clip numbers belong together, and to the test recordings alone."""
    clips, split = open_clips(materials(3).clips), splits.read(materials(3).split)
    here = np.array([split.roles[i] == "test" for i in clips.recording])
    arrays = stored(left.folder)
    assert here.sum() > 10
    assert sorted(arrays) == ["classes", "clip", "labels", "logits", "recording"]
    assert arrays["logits"].shape == (here.sum(), 3)
    assert arrays["logits"].dtype == np.float32
    assert np.isfinite(arrays["logits"]).all()
    assert arrays["labels"].tolist() == clips.label[here].tolist()
    assert arrays["recording"].tolist() == clips.recording[here].tolist()
    assert arrays["clip"].tolist() == clips.number[here].tolist()
    assert arrays["classes"].tolist() == list(clips.classes)


def test_predictions_hold_no_pickle(left: Left) -> None:
    """Every array is of plain numbers or text, and the archive is whole."""
    with zipfile.ZipFile(left.folder / "predictions.npz") as archive:
        assert archive.testzip() is None
    assert all(array.dtype.kind in "fiU" for array in stored(left.folder).values())


def test_objects_are_not_stored(tmp_path: Path) -> None:
    """What would need a pickle is refused, and leaves no file."""
    with pytest.raises(ValueError, match="allow_pickle=False"):
        trial.save_arrays(tmp_path / "predictions.npz", logits=np.array([{}]))
    assert not list(tmp_path.iterdir())


def test_scores_follow_from_what_is_stored(left: Left) -> None:
    """The test scores are those of the stored logits, the validation scores those of the kept epoch."""
    arrays, scores = stored(left.folder), left.scores
    assert scores["test_accuracy"] == metrics.accuracy(arrays["logits"], arrays["labels"])
    assert scores["test_loss"] == metrics.cross_entropy(arrays["logits"], arrays["labels"])
    assert scores["test_recording_accuracy"] == metrics.recording_accuracy(
        arrays["logits"], arrays["labels"], arrays["recording"]
    )
    best = max(left.rows, key=lambda row: (row["val_accuracy"], -row["epoch"]))
    kept = [best[name] for name in ("epoch", "val_accuracy", "val_loss")]
    assert [scores[name] for name in ("best_epoch", "best_val_accuracy", "best_val_loss")] == kept
    assert scores["epochs_run"] == len(left.rows) == CONFIG.epochs


def test_scores_tell_how_many_parameters_were_trained(left: Left) -> None:
    """Those of the network with its new classifier."""
    network = trial.start_network(CONFIG, 3, None)
    assert left.scores["num_parameters"] == sum(p.numel() for p in network.parameters())


def test_standard_input_is_normalised_by_the_training_clips(
    materials: Callable[[int], Material], tmp_path: Path
) -> None:
    """The mean and standard deviation of their log-mels, kept with the weights; no other role counts."""
    config = dataclasses.replace(
        CONFIG, backbone="timm/mobilenetv3_large_100.ra_in1k", width=1 / 16, input_norm="standard", epochs=1
    )
    run(materials(3), tmp_path, config)
    kept = checkpoint.load(tmp_path / "best.pt")["model"]
    clips, split = open_clips(materials(3).clips), splits.read(materials(3).split)
    mean, std = examples.moments(examples.load(config, clips, split, "train", CPU))
    assert (kept["norm.mean"].item(), kept["norm.std"].item()) == (pytest.approx(mean), pytest.approx(std))


def test_a_trial_that_ran_out_of_memory_takes_half_batches_and_says_so(
    left: Left, materials: Callable[[int], Material], tmp_path: Path
) -> None:
    """Its record tells in how many parts; the other's tells one."""
    (tmp_path / NO_ROOM).touch()
    halved = run(materials(3), tmp_path)
    found, whole = record.read(tmp_path), record.read(left.folder)
    assert found is not None
    assert whole is not None
    assert (found.provenance["micro_batches"], whole.provenance["micro_batches"]) == ("2", "1")
    assert halved.scores["test_loss"] != left.scores["test_loss"]


def test_kept_weights_give_the_stored_logits(left: Left, materials: Callable[[int], Material]) -> None:
    """best.pt, loaded strictly into a network with other weights, predicts bit by bit what was stored."""
    network = trial.start_network(dataclasses.replace(CONFIG, seed=99), 5, left.folder / "best.pt")
    assert network.classifier.out_features == 5  # type: ignore[union-attr]
    pretrained.load(network, left.folder / "best.pt", CONFIG.card.front_end)  # type: ignore[arg-type]
    clips, split = open_clips(materials(3).clips), splits.read(materials(3).split)
    test = examples.load(CONFIG, clips, split, "test", CPU)
    network = network.to(memory_format=torch.channels_last)
    assert (predict(network, test, CONFIG) == stored(left.folder)["logits"]).all()


def test_kept_weights_tell_what_they_are(left: Left) -> None:
    """best.pt names its trial and its front end, and carries its hash."""
    state = checkpoint.load(left.folder / "best.pt")
    assert state["key"] == CONFIG.key
    assert state["front_end"] == dataclasses.asdict(CONFIG.card.front_end)


def test_kept_weights_of_another_rate_are_refused(left: Left) -> None:
    """A checkpoint pre-trained with another front end is no start for this one."""
    other = dataclasses.replace(CONFIG, pretrain_hz=16_000, data_hz=16_000)
    with pytest.raises(weights.WrongWeights, match="belongs to another front end"):
        trial.start_network(other, 3, left.folder / "best.pt")


def test_a_trial_is_the_start_of_another(left: Left, materials: Callable[[int], Material], tmp_path: Path) -> None:
    """run:KEY finds what a trial left; the next one starts from its weights, with a classifier for its own classes."""
    folder = tmp_path / "trials" / f"{CONFIG.key}-00000000"
    shutil.copytree(left.folder, folder)
    config = dataclasses.replace(CONFIG, weights=f"run:{CONFIG.key}", epochs=1)
    found = weights.locate(config, tmp_path / "weights", tmp_path / "trials")
    assert found == folder / "best.pt"

    network, random = trial.start_network(config, 2, found), trial.start_network(config, 2, None)
    body, kept = dict(network.state_dict()), checkpoint.load(found)["model"]
    for name in ("fc_audioset.weight", "fc_audioset.bias"):
        assert torch.equal(body.pop(name), random.state_dict()[name])
        assert kept.pop(name).shape[0] == 3
    assert body.keys() == kept.keys()
    assert all(torch.equal(value, kept[name]) for name, value in body.items())

    chained = run(materials(2), tmp_path / "next", config, found)
    assert stored(chained.folder)["logits"].shape[1] == 2
    scratch = run(materials(2), tmp_path / "scratch", dataclasses.replace(config, weights="none"))
    assert chained.scores["test_loss"] != scratch.scores["test_loss"]


def test_a_trial_run_again_is_the_same(left: Left, materials: Callable[[int], Material], tmp_path: Path) -> None:
    """In another folder it leaves the same predictions; in its own it trains nothing more, and leaves them again."""
    again = run(materials(3), tmp_path / "again")
    assert (stored(again.folder)["logits"] == stored(left.folder)["logits"]).all()
    assert again.scores == left.scores
    repeated = run(materials(3), tmp_path / "again")
    assert repeated == again  # the times of the epochs too: they are those of the first attempt


def test_test_clips_are_read_after_the_last_epoch(
    left: Left, materials: Callable[[int], Material], tmp_path: Path
) -> None:
    """Test clips that change in the last moment of training change the predictions, and no weight or epoch."""
    material = Material(tmp_path / "clips", materials(3).split)
    shutil.copytree(materials(3).clips, material.clips)
    roles = splits.read(material.split).roles
    here = np.array([roles[i] == "test" for i in open_clips(material.clips).recording])

    def poison(row: Row) -> None:
        if row["epoch"] == CONFIG.epochs:
            wave = np.load(material.clips / "clips.npy", mmap_mode="r+")
            wave[here] = np.random.default_rng(0).integers(-32768, 32767, wave[here].shape)
            wave.flush()

    poisoned = run(material, tmp_path / "poisoned", report=poison)
    examples._made.clear()
    afterwards = run(material, tmp_path / "afterwards")
    assert len(poisoned.rows) == CONFIG.epochs
    assert learned(poisoned.rows) == learned(afterwards.rows)
    assert (stored(poisoned.folder)["logits"] != stored(left.folder)["logits"]).any()
    assert (stored(poisoned.folder)["logits"] == stored(afterwards.folder)["logits"]).all()
    kept = [checkpoint.load(folder / "best.pt")["model"] for folder in (poisoned.folder, left.folder)]
    assert all(torch.equal(value, kept[1][name]) for name, value in kept[0].items())


def learned(rows: list[Row]) -> list[Row]:
    """Epochs without what they took."""
    return [{name: value for name, value in row.items() if not name.startswith(MEASURED)} for row in rows]


COLD = """
from pathlib import Path
from tests.trainable.test_trial import CONFIG, Material, run
run(Material(Path({clips!r}), Path({split!r})), Path({folder!r}))
"""


def test_a_warm_worker_ends_as_a_cold_one(materials: Callable[[int], Material], tmp_path: Path) -> None:
    """After trials of another seed, network and precision the predictions are those of a new process, bit by bit."""
    material = materials(3)
    program = COLD.format(clips=str(material.clips), split=str(material.split), folder=str(tmp_path / "cold"))
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
    for number, fields in enumerate([{"seed": 2}, {"width": 1 / 32, "precision": "bfloat16"}]):
        run(material, tmp_path / str(number), dataclasses.replace(CONFIG, **fields))  # type: ignore[arg-type]
    warm = run(material, tmp_path / "warm")
    assert (stored(warm.folder)["logits"] == stored(tmp_path / "cold")["logits"]).all()


def test_seeds_of_a_cell_share_their_clips(
    materials: Callable[[int], Material], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are trained on are made once; test clips for each trial; and other clips take their place."""
    made, load = [], examples.load
    monkeypatch.setattr(examples, "load", lambda *given: made.append(given[3]) or load(*given))  # type: ignore[func-returns-value]
    for seed in (1, 2):
        run(materials(2), tmp_path / str(seed), dataclasses.replace(CONFIG, seed=seed, epochs=1))
    assert made == ["train", "validation", "test", "test"]
    run(materials(3), tmp_path / "others", dataclasses.replace(CONFIG, epochs=1))
    assert made[4:] == ["train", "validation", "test"]
    assert len(examples._made) == 2
    run(materials(3), tmp_path / "scaled", dataclasses.replace(CONFIG, scale="pcm", epochs=1))
    assert made[7:] == ["train", "validation", "test"]


def test_threads_are_those_of_the_place(materials: Callable[[int], Material], tmp_path: Path) -> None:
    """A trial computes with the number of threads that is recorded with it."""
    before, seen = torch.get_num_threads(), []
    config = dataclasses.replace(CONFIG, epochs=1)
    try:
        for num_threads in (2, 1):
            place = Place(*materials(2), None, tmp_path / str(num_threads), num_threads)
            trial.run(config, place, lambda row: seen.append(torch.get_num_threads()))
    finally:
        torch.set_num_threads(before)
    assert seen == [2, 1]


@pytest.mark.parametrize("num_classes", [2, 7])
def test_the_start_follows_from_the_seed(num_classes: int) -> None:
    """One seed gives one random network and classifier, whatever torch's own random state is; another gives others."""

    def start(seed: int) -> dict[str, torch.Tensor]:
        return trial.start_network(dataclasses.replace(CONFIG, seed=seed), num_classes, None).state_dict()

    one = start(1)
    torch.rand(3)
    same, other = start(1), start(2)
    assert one["fc_audioset.weight"].shape == (num_classes, 32)
    assert all(torch.equal(value, same[name]) for name, value in one.items())
    assert not torch.equal(one["fc_audioset.weight"], other["fc_audioset.weight"])
    assert not torch.equal(one["conv_block1.conv1.weight"], other["conv_block1.conv1.weight"])


SEARCHED = dataclasses.replace(CONFIG, score_on="validation", epochs=4)


def searched(material: Material, folder: Path, config: TrialConfig = SEARCHED, **more: object) -> record.Record:
    """The record of a trial of a search."""
    trial.run(config, Place(material.clips, material.split, None, folder, **more), lambda row: None)  # type: ignore[arg-type]
    found = record.read(folder)
    assert found is not None
    return found


def test_a_trial_of_a_search_never_sees_a_test_clip(
    materials: Callable[[int], Material], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It loads two roles, and keeps the numbers of its best epoch on validation, no network and no predictions."""
    roles, load = [], examples.load
    monkeypatch.setattr(examples, "load", lambda *given: roles.append(given[3]) or load(*given))  # type: ignore[func-returns-value]
    found = searched(materials(3), tmp_path)
    assert roles == ["train", "validation"]
    assert set(found.scores) == {"best_val_accuracy", "best_val_loss", "best_epoch", "epochs_run"}
    assert found.files == {}
    best = found.history[int(found.scores["best_epoch"]) - 1]
    assert found.scores["best_val_accuracy"] == max(row["val_accuracy"] for row in found.history)
    assert found.scores["best_val_loss"] == best["val_loss"]


def test_a_trial_of_a_search_trains_as_any_other(materials: Callable[[int], Material], tmp_path: Path) -> None:
    """What it is scored on changes none of its epochs."""
    rows = run(materials(3), tmp_path / "tested", dataclasses.replace(SEARCHED, score_on="test")).rows
    searched_rows = searched(materials(3), tmp_path / "searched").history
    assert [row["val_loss"] for row in searched_rows] == [row["val_loss"] for row in rows]


def test_a_trial_that_is_told_to_gives_up(materials: Callable[[int], Material], tmp_path: Path) -> None:
    """After the epoch that it is told at, and its record says so."""
    found = searched(materials(3), tmp_path, gives_up=lambda history: len(history) == 2)
    assert (len(found.history), found.scores["epochs_run"], found.scores["gave_up"]) == (2, 2, 1)


def test_that_a_trial_diverged_is_a_result_of_a_search(materials: Callable[[int], Material], tmp_path: Path) -> None:
    """It is committed, so that nobody evaluates it again; elsewhere it is an error."""
    found = searched(materials(3), tmp_path / "searched", dataclasses.replace(SEARCHED, lr=1e30))
    assert found.scores["diverged"] == 1
    assert "best_val_accuracy" not in found.scores
    with pytest.raises(metrics.NotFinite):
        run(materials(3), tmp_path / "tested", dataclasses.replace(CONFIG, lr=1e30))


def test_weight_decay_makes_weights_smaller(materials: Callable[[int], Material], tmp_path: Path) -> None:
    """Of the same trial with and without."""
    sizes = []
    for decay in (0.0, 1.0):
        run(materials(3), tmp_path / str(decay), dataclasses.replace(CONFIG, weight_decay=decay))
        state = checkpoint.load(tmp_path / str(decay) / "best.pt")["model"]
        sizes.append(sum(float(t.square().sum()) for n, t in state.items() if n.endswith("conv1.weight")))
    assert sizes[1] < sizes[0]


@pytest.mark.parametrize(
    ("backbone", "fields", "last"),
    [
        ("cnn14", {}, False),
        ("cnn14", {"width": 1 / 4}, True),
        ("mobilenetv1", {}, True),
        ("timm/resnet50.a1_in1k", {}, True),
    ],
)
def test_channels_last_but_for_wide_panns_on_a_cpu(backbone: str, fields: dict[str, float], last: bool) -> None:
    """Where it is faster."""
    config = dataclasses.replace(
        CONFIG, **{"backbone": backbone, "width": 1, "pretrain_hz": 32_000, "data_hz": 32_000, **fields}
    )
    network = trial.laid_out(trial.start_network(config, 2, None), config, CPU)
    weights = [p for p in network.parameters() if p.ndim == 4 and min(p.shape[1:]) > 1]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights) == last
