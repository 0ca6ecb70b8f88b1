"""A trial from the cache to its predictions: its results, the clips it must not see, and the start of the next one."""

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

from datasets.engine import manifest, prepare, splits
from datasets.engine.clips import Clips, open_clips
from datasets.engine.corpus import CorpusError
from datasets.engine.prepare import Source, Wanted
from datasets.synthetic.esc50 import write as write_esc50
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
    """A cache entry, a split manifest and a stored scan."""

    clips: Path
    split: Path
    scan: Path

    def opened(self) -> Clips:
        """The clips with their labels."""
        return open_clips(self.clips, manifest.read(self.scan).corpus)


class Finished(NamedTuple):
    """A finished trial: its place, its return value, and the rows that it reported."""

    folder: Path
    scores: Row
    rows: list[Row]


@pytest.fixture(scope="module")
def materials(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Material]:
    """A function that makes a synthetic ESC-50 with a number of classes, cut into clips of 1 s."""
    cache: dict[int, Material] = {}

    def material(num_classes: int) -> Material:
        if num_classes not in cache:
            root = tmp_path_factory.mktemp("esc50")
            write_esc50(root / "audio", num_classes=num_classes, rate_hz=16_000)
            source = Source(root / "audio", root / "cache")
            prepared = prepare.prepare(Wanted("esc50", (), "published", CONFIG.clip_s), source)
            (clips,) = prepare.clips(prepared, [CONFIG.data_hz], CONFIG.clip_s, source).values()
            scan = manifest.write(prepared.scan, root / "scans")
            cache[num_classes] = Material(clips, splits.write(prepared.split, root / "splits"), scan)
        return cache[num_classes]

    return material


def run(
    material: Material,
    folder: Path,
    config: TrialConfig = CONFIG,
    pretrained: Path | None = None,
    report: Callable[[Row], None] = lambda row: None,
) -> Finished:
    rows: list[Row] = []

    def told(row: Row) -> None:
        rows.append(row)
        report(row)

    place = Place(material.clips, material.split, pretrained, folder, scan=material.scan)
    return Finished(folder, trial.run(config, place, told), rows)


@pytest.fixture(scope="module")
def finished(materials: Callable[[int], Material], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished trial on three classes."""
    return run(materials(3), tmp_path_factory.mktemp("trial"))


def stored(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "predictions.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def test_embeddings_are_kept_where_they_are_asked_for(
    materials: Callable[[int], Material], finished: Finished, tmp_path: Path
) -> None:
    """All roles have them in half precision, and the classifier turns those of the test clips into the logits."""
    assert not (finished.folder / "embeddings.npz").exists()
    config = dataclasses.replace(CONFIG, keep="embeddings")
    trial = run(materials(3), tmp_path, config)
    with np.load(trial.folder / "embeddings.npz", allow_pickle=False) as arrays:
        embeddings = dict(arrays)
    clips, split = materials(3).opened(), splits.read(materials(3).split)
    for role in ("train", "validation", "test"):
        chosen = np.array([split.roles.get(i) == role for i in clips.recording])
        assert embeddings[role].dtype == np.float16
        assert len(embeddings[role]) == chosen.sum()
        assert np.array_equal(embeddings[f"{role}_recording"], clips.recording[chosen])
        assert np.array_equal(embeddings[f"{role}_labels"], clips.label[chosen])
    model = torch.load(trial.folder / "best.pt", weights_only=True)["model"]
    weight, bias = model["fc_audioset.weight"].numpy(), model["fc_audioset.bias"].numpy()
    logits = embeddings["test"].astype(np.float32) @ weight.T + bias
    np.testing.assert_allclose(logits, stored(trial.folder)["logits"], atol=2e-3)
    assert np.array_equal(stored(trial.folder)["logits"], stored(finished.folder)["logits"])
    assert "embeddings.npz" in record.read(trial.folder).files  # type: ignore[union-attr]


def test_predictions_are_of_every_test_clip(finished: Finished, materials: Callable[[int], Material]) -> None:
    """Logits, labels, recordings and clip numbers match, for the test recordings only."""
    clips, split = materials(3).opened(), splits.read(materials(3).split)
    in_test = np.array([split.roles[i] == "test" for i in clips.recording])
    arrays = stored(finished.folder)
    assert in_test.sum() > 10
    names = "classes clip group_fold group_source labels logits recording sampled_by seen_fold seen_source"
    assert sorted(arrays) == names.split()
    assert str(arrays["sampled_by"]) == "source"
    assert arrays["logits"].shape == (in_test.sum(), 3)
    assert arrays["logits"].dtype == np.float32
    assert np.isfinite(arrays["logits"]).all()
    assert arrays["labels"].tolist() == clips.label[in_test].tolist()
    assert arrays["recording"].tolist() == clips.recording[in_test].tolist()
    assert arrays["clip"].tolist() == clips.number[in_test].tolist()
    assert arrays["classes"].tolist() == list(clips.classes)
    assert set(arrays["group_fold"].tolist()) == {"5"}
    assert not arrays["seen_fold"].any()  # the published split keeps folds apart


def test_predictions_hold_no_pickle(finished: Finished) -> None:
    """Every array has plain numbers or text, and the archive is complete."""
    with zipfile.ZipFile(finished.folder / "predictions.npz") as archive:
        assert archive.testzip() is None
    assert all(array.dtype.kind in "fiUb" for array in stored(finished.folder).values())


def test_objects_are_not_stored(tmp_path: Path) -> None:
    """An array that would need a pickle is refused, and leaves no file."""
    with pytest.raises(ValueError, match="allow_pickle=False"):
        trial.save_arrays(tmp_path / "predictions.npz", logits=np.array([{}]))
    assert not list(tmp_path.iterdir())


def test_scores_follow_from_what_is_stored(finished: Finished) -> None:
    """Test scores follow from the stored logits, validation scores are those of the kept epoch."""
    arrays, scores = stored(finished.folder), finished.scores
    assert scores["test_accuracy"] == metrics.accuracy(arrays["logits"], arrays["labels"])
    assert scores["test_loss"] == metrics.cross_entropy(arrays["logits"], arrays["labels"])
    assert scores["test_recording_accuracy"] == metrics.recording_accuracy(
        arrays["logits"], arrays["labels"], arrays["recording"]
    )
    best = max(finished.rows, key=lambda row: (row["val_accuracy"], -row["epoch"]))
    best_scores = [best[name] for name in ("epoch", "val_accuracy", "val_loss")]
    assert [scores[name] for name in ("best_epoch", "best_val_accuracy", "best_val_loss")] == best_scores
    assert scores["epochs_run"] == len(finished.rows) == CONFIG.epochs


def test_scores_tell_how_many_parameters_were_trained(finished: Finished) -> None:
    """The number includes the new classifier."""
    network = trial.start_network(CONFIG, 3, None)
    assert finished.scores["num_parameters"] == sum(p.numel() for p in network.parameters())


def test_standard_input_is_normalised_by_the_training_clips(
    materials: Callable[[int], Material], tmp_path: Path
) -> None:
    """Their mean and standard deviation are stored with the weights; other roles do not count."""
    config = dataclasses.replace(
        CONFIG, backbone="timm/mobilenetv3_large_100.ra_in1k", width=1 / 16, input_norm="standard", epochs=1
    )
    run(materials(3), tmp_path, config)
    weights = checkpoint.load(tmp_path / "best.pt")["model"]
    clips, split = materials(3).opened(), splits.read(materials(3).split)
    mean, std = examples.moments(examples.load(config, clips, split, "train", CPU))
    assert (weights["norm.mean"].item(), weights["norm.std"].item()) == (pytest.approx(mean), pytest.approx(std))


def test_a_trial_that_ran_out_of_memory_takes_half_batches_and_says_so(
    finished: Finished, materials: Callable[[int], Material], tmp_path: Path
) -> None:
    """Its record has the number of parts; that of another trial has one."""
    (tmp_path / NO_ROOM).touch()
    halved = run(materials(3), tmp_path)
    in_parts, undivided = record.read(tmp_path), record.read(finished.folder)
    assert in_parts is not None
    assert undivided is not None
    assert (in_parts.provenance["micro_batches"], undivided.provenance["micro_batches"]) == ("2", "1")
    assert halved.scores["test_loss"] != finished.scores["test_loss"]


def test_kept_weights_give_the_stored_logits(finished: Finished, materials: Callable[[int], Material]) -> None:
    """best.pt, loaded strictly into another network, gives the stored predictions bit by bit."""
    network = trial.start_network(dataclasses.replace(CONFIG, seed=99), 5, finished.folder / "best.pt")
    assert network.classifier.out_features == 5  # type: ignore[union-attr]
    pretrained.load(network, finished.folder / "best.pt", CONFIG.card.front_end)  # type: ignore[arg-type]
    clips, split = materials(3).opened(), splits.read(materials(3).split)
    test = examples.load(CONFIG, clips, split, "test", CPU)
    network = network.to(memory_format=torch.channels_last)
    assert (predict(network, test, CONFIG) == stored(finished.folder)["logits"]).all()


def test_kept_weights_tell_what_they_are(finished: Finished) -> None:
    """best.pt has the key of its trial, its front end and its hash."""
    state = checkpoint.load(finished.folder / "best.pt")
    assert state["key"] == CONFIG.key
    assert state["front_end"] == dataclasses.asdict(CONFIG.card.front_end)


def test_kept_weights_of_another_rate_are_refused(finished: Finished) -> None:
    """A checkpoint with another front end cannot start this trial."""
    other = dataclasses.replace(CONFIG, pretrain_hz=16_000, data_hz=16_000)
    with pytest.raises(weights.WrongWeights, match="belongs to another front end"):
        trial.start_network(other, 3, finished.folder / "best.pt")


def test_a_trial_is_the_start_of_another(
    finished: Finished, materials: Callable[[int], Material], tmp_path: Path
) -> None:
    """run:KEY finds a trial's checkpoint; the next trial starts from its weights with a new classifier."""
    folder = tmp_path / "trials" / f"{CONFIG.key}-00000000"
    shutil.copytree(finished.folder, folder)
    config = dataclasses.replace(CONFIG, weights=f"run:{CONFIG.key}", epochs=1)
    path = weights.locate(config, tmp_path / "weights", tmp_path / "trials")
    assert path == folder / "best.pt"

    network, random = trial.start_network(config, 2, path), trial.start_network(config, 2, None)
    body, parent = dict(network.state_dict()), checkpoint.load(path)["model"]
    for name in ("fc_audioset.weight", "fc_audioset.bias"):
        assert torch.equal(body.pop(name), random.state_dict()[name])
        assert parent.pop(name).shape[0] == 3
    assert body.keys() == parent.keys()
    assert all(torch.equal(value, parent[name]) for name, value in body.items())

    chained = run(materials(2), tmp_path / "next", config, path)
    assert stored(chained.folder)["logits"].shape[1] == 2
    scratch = run(materials(2), tmp_path / "scratch", dataclasses.replace(config, weights="none"))
    assert chained.scores["test_loss"] != scratch.scores["test_loss"]


def test_a_trial_run_again_is_the_same(
    finished: Finished, materials: Callable[[int], Material], tmp_path: Path
) -> None:
    """In another folder the predictions are the same; in its own, nothing is trained again."""
    again = run(materials(3), tmp_path / "again")
    assert (stored(again.folder)["logits"] == stored(finished.folder)["logits"]).all()
    assert again.scores == finished.scores
    repeated = run(materials(3), tmp_path / "again")
    assert repeated == again  # including the times of the epochs, which are those of the first attempt


def test_test_clips_are_read_after_the_last_epoch(
    finished: Finished, materials: Callable[[int], Material], tmp_path: Path
) -> None:
    """Test clips that change at the end of training change the predictions, but no weight or epoch."""
    material = materials(3)._replace(clips=tmp_path / "clips")
    shutil.copytree(materials(3).clips, material.clips)
    roles = splits.read(material.split).roles
    in_test = np.array([roles[i] == "test" for i in open_clips(material.clips).recording])

    def poison(row: Row) -> None:
        if row["epoch"] == CONFIG.epochs:
            wave = np.load(material.clips / "clips.npy", mmap_mode="r+")
            wave[in_test] = np.random.default_rng(0).integers(-32768, 32767, wave[in_test].shape)
            wave.flush()

    poisoned = run(material, tmp_path / "poisoned", report=poison)
    examples._cache.clear()
    afterwards = run(material, tmp_path / "afterwards")
    assert len(poisoned.rows) == CONFIG.epochs
    assert learned(poisoned.rows) == learned(afterwards.rows)
    assert (stored(poisoned.folder)["logits"] != stored(finished.folder)["logits"]).any()
    assert (stored(poisoned.folder)["logits"] == stored(afterwards.folder)["logits"]).all()
    weights = [checkpoint.load(folder / "best.pt")["model"] for folder in (poisoned.folder, finished.folder)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def learned(rows: list[Row]) -> list[Row]:
    """The epochs without times and usage."""
    return [{name: value for name, value in row.items() if not name.startswith(MEASURED)} for row in rows]


COLD = """
from pathlib import Path
from tests.trainable.test_trial import CONFIG, Material, run
run(Material(*map(Path, {material!r})), Path({folder!r}))
"""


def test_a_warm_worker_ends_as_a_cold_one(materials: Callable[[int], Material], tmp_path: Path) -> None:
    """After trials with other seeds, networks and precisions, predictions equal those of a new process."""
    material = materials(3)
    program = COLD.format(material=[*map(str, material)], folder=str(tmp_path / "cold"))
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
    for number, fields in enumerate([{"seed": 2}, {"width": 1 / 32, "precision": "bfloat16"}]):
        run(material, tmp_path / str(number), dataclasses.replace(CONFIG, **fields))  # type: ignore[arg-type]
    warm = run(material, tmp_path / "warm")
    assert (stored(warm.folder)["logits"] == stored(tmp_path / "cold")["logits"]).all()


def test_seeds_of_a_cell_share_their_clips(
    materials: Callable[[int], Material], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training clips are made once, test clips for each trial, and other clips replace them."""
    loaded, load = [], examples.load
    monkeypatch.setattr(examples, "load", lambda *args: loaded.append(args[3]) or load(*args))  # type: ignore[func-returns-value]
    for seed in (1, 2):
        run(materials(2), tmp_path / str(seed), dataclasses.replace(CONFIG, seed=seed, epochs=1))
    assert loaded == ["train", "validation", "test", "test"]
    run(materials(3), tmp_path / "others", dataclasses.replace(CONFIG, epochs=1))
    assert loaded[4:] == ["train", "validation", "test"]
    assert len(examples._cache) == 2
    run(materials(3), tmp_path / "scaled", dataclasses.replace(CONFIG, scale="pcm", epochs=1))
    assert loaded[7:] == ["train", "validation", "test"]


def test_other_labels_are_other_examples(materials: Callable[[int], Material], tmp_path: Path) -> None:
    """One worker trains on the same clips and the same split with two labels, and mixes them up nowhere."""
    material, device = materials(2), torch.device("cpu")
    scan = manifest.read(material.scan)
    swapped = [
        dataclasses.replace(r, label=scan.corpus.classes[r.label == scan.corpus.classes[0]])
        for r in scan.corpus.recordings
    ]
    other = dataclasses.replace(scan, corpus=dataclasses.replace(scan.corpus, recordings=tuple(swapped)))
    labels = []
    for path in (material.scan, manifest.write(other, tmp_path / "scans")):
        place = Place(material.clips, material.split, None, tmp_path / "trial", scan=path)
        clips, split = trial.clips_of(CONFIG, place), splits.read(material.split)
        labels.append(trial.examples_of(CONFIG, place, clips, split, "train", device).labels)
    assert torch.equal(labels[0], 1 - labels[1])


def test_clips_without_a_scan_have_no_labels(materials: Callable[[int], Material], tmp_path: Path) -> None:
    """They are refused, rather than trained on with the labels of whoever made them."""
    with pytest.raises(CorpusError, match=r"has no labels of its own; give the trial's place a scan"):
        trial.run(CONFIG, Place(*materials(2)[:2], None, tmp_path), lambda row: None)


def test_threads_are_those_of_the_place(materials: Callable[[int], Material], tmp_path: Path) -> None:
    """A trial computes with the recorded number of threads."""
    before, numbers = torch.get_num_threads(), []
    config = dataclasses.replace(CONFIG, epochs=1)
    try:
        for num_threads in (2, 1):
            clips, split, scan = materials(2)
            place = Place(clips, split, None, tmp_path / str(num_threads), num_threads, scan=scan)
            trial.run(config, place, lambda row: numbers.append(torch.get_num_threads()))
    finally:
        torch.set_num_threads(before)
    assert numbers == [2, 1]


@pytest.mark.parametrize("num_classes", [2, 7])
def test_the_start_follows_from_the_seed(num_classes: int) -> None:
    """A seed gives one random network and classifier, for any random state of torch; another seed differs."""

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
    place = Place(material.clips, material.split, None, folder, scan=material.scan, **more)  # type: ignore[arg-type]
    trial.run(config, place, lambda row: None)
    committed = record.read(folder)
    assert committed is not None
    return committed


def test_a_trial_of_a_search_never_sees_a_test_clip(
    materials: Callable[[int], Material], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It loads two roles, and keeps only the numbers of its best epoch on validation."""
    roles, load = [], examples.load
    monkeypatch.setattr(examples, "load", lambda *args: roles.append(args[3]) or load(*args))  # type: ignore[func-returns-value]
    committed = searched(materials(3), tmp_path)
    assert roles == ["train", "validation"]
    assert set(committed.scores) == {"best_val_accuracy", "best_val_loss", "best_epoch", "epochs_run"}
    assert committed.files == {}
    best = committed.history[int(committed.scores["best_epoch"]) - 1]
    assert committed.scores["best_val_accuracy"] == max(row["val_accuracy"] for row in committed.history)
    assert committed.scores["best_val_loss"] == best["val_loss"]


def test_a_trial_of_a_search_trains_as_any_other(materials: Callable[[int], Material], tmp_path: Path) -> None:
    """The role that it is scored on does not change its epochs."""
    rows = run(materials(3), tmp_path / "tested", dataclasses.replace(SEARCHED, score_on="test")).rows
    searched_rows = searched(materials(3), tmp_path / "searched").history
    assert [row["val_loss"] for row in searched_rows] == [row["val_loss"] for row in rows]


def test_a_trial_that_is_told_to_gives_up(materials: Callable[[int], Material], tmp_path: Path) -> None:
    """It stops after that epoch, and its record says so."""
    committed = searched(materials(3), tmp_path, gives_up=lambda history: len(history) == 2)
    assert (len(committed.history), committed.scores["epochs_run"], committed.scores["gave_up"]) == (2, 2, 1)


def test_that_a_trial_diverged_is_a_result_of_a_search(materials: Callable[[int], Material], tmp_path: Path) -> None:
    """It is committed, so that nobody evaluates it again; in other sweeps it is an error."""
    committed = searched(materials(3), tmp_path / "searched", dataclasses.replace(SEARCHED, lr=1e30))
    assert committed.scores["diverged"] == 1
    assert "best_val_accuracy" not in committed.scores
    with pytest.raises(metrics.NotFinite):
        run(materials(3), tmp_path / "tested", dataclasses.replace(CONFIG, lr=1e30))


def test_weight_decay_makes_weights_smaller(materials: Callable[[int], Material], tmp_path: Path) -> None:
    """The same trial is run with and without it."""
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
    """The layout is used if it is faster."""
    config = dataclasses.replace(
        CONFIG, **{"backbone": backbone, "width": 1, "pretrain_hz": 32_000, "data_hz": 32_000, **fields}
    )
    network = trial.laid_out(trial.start_network(config, 2, None), config, CPU)
    weights = [p for p in network.parameters() if p.ndim == 4 and min(p.shape[1:]) > 1]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights) == last


@pytest.mark.parametrize(("labels", "expected"), [([0, 1, 1, 2], "owl"), ([0, 0, 1, 1], ""), ([2], "toad")])
def test_a_record_states_the_class_with_the_most_training_clips(labels: list[int], expected: str) -> None:
    """Where several have as many, there is none: tables then name chance alone."""
    train = examples.Examples(torch.zeros(len(labels), 1), torch.tensor(labels), np.array(labels), np.array(labels))
    assert trial.majority_class(train, ("frog", "owl", "toad")) == expected


def test_a_finished_trial_has_it(finished: Finished) -> None:
    """Its record passes it on to the store."""
    committed = record.read(finished.folder)
    assert committed is not None
    assert "majority_class" in committed.provenance
