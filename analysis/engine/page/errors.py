"""The worst errors: the test clips that a setting names most surely by a wrong class, with their sound."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.engine.page.each_run import of_cells
from analysis.engine.rows import Predictions
from analysis.engine.tables.cells import Cell, Material, Table
from datasets.engine import corpus, manifest
from datasets.engine.clips import Cut
from datasets.engine.corpus import CorpusError, Recording
from datasets.engine.decoding import heard
from sweeps.engine.situation import wanted_by
from trainable.config import TrialConfig
from trainable.result.metrics import log_softmax

MOST, A_RECORDING = 8, 2  # clips that are listed, in all and of one recording
LONGEST_S = 10.0  # of a clip that is embedded; of a longer one, the beginning


@dataclass(frozen=True)
class WrongClip:
    """A test clip that is named wrongly."""

    recording: str
    clip: int  # its index in the recording
    start_s: float  # its start in the recording [s]
    true: str
    predicted: str
    probability: float  # of the predicted class, as a mean over the seeds
    of_true: float  # that of the true class
    seeds_wrong: int  # that name it wrongly
    sound: str = ""  # an address that holds it as a WAV file


@dataclass(frozen=True)
class Errors:
    """The worst errors of one cell."""

    cell: str
    num_seeds: int
    num_wrong: int  # clips that the mean over seeds names wrongly
    num_clips: int
    clips: tuple[WrongClip, ...]
    cut: Cut

    @property
    def caption(self) -> str:
        """The caption: which clips are listed, and how they are heard."""
        seeds = f" averaged over {self.num_seeds} seeds" * (self.num_seeds > 1)
        words = (
            f"The setting with the best mean, {self.cell}: of its {self.num_clips:,} test clips, {self.num_wrong:,} "
            f"are named wrongly by the probabilities{seeds}; these are the {len(self.clips)} in which it is most sure, "
            f"at most {A_RECORDING} of a recording."
        )
        if not any(clip.sound for clip in self.clips):
            return f"{words} Written with --audio, the page has their sound."
        beginning = f"; of each clip, its first {LONGEST_S:g} s" * (self.cut.clip_s > LONGEST_S)
        rate = f"at the recording's own rate, at most {heard.MOST_HZ / 1000:g} kHz"
        return f"{words} Cut as for the network, but {rate}{beginning}."


def worst(table: Table, made_of: Material, most: int = MOST) -> Errors | None:
    """The worst errors of the complete cell with the best mean; None if there is none, or it makes no error.

    Args:
        table: the table of these runs.
        made_of: its material.
        most: the number of clips to list.
    """
    cells = [cell for cell in table.cells if cell.scores]
    means = [cell.scores.clip.mean for cell in cells if cell.scores]
    if not cells:
        return None
    best = cells[means.index(table.score.best(means))]
    seeds = [made_of.predictions[row["key"]] for cell, row in of_cells(table, made_of) if cell is best]
    return _errors(table.title(best), best, seeds, most)


def _errors(title: str, cell: Cell, seeds: Sequence[Predictions], most: int) -> Errors | None:
    first, cut = seeds[0], wanted_by(cell.trial).cut
    shares = np.exp(np.stack([log_softmax(seed.logits.astype(np.float64)) for seed in seeds]))
    mean, each = shares.mean(axis=0), np.stack([seed.logits.argmax(axis=1) for seed in seeds])
    predicted = mean.argmax(axis=1)
    wrong = np.flatnonzero(predicted != first.labels)
    if not len(wrong):
        return None
    surest = wrong[np.argsort(-mean[wrong, predicted[wrong]], kind="stable")]
    shown = [i for i, nth in zip(surest, _occurrence(first.recording[surest]), strict=True) if nth < A_RECORDING][:most]
    clips = tuple(
        WrongClip(
            recording=str(first.recording[i]),
            clip=int(first.clip[i]),
            start_s=int(first.clip[i]) * cut.hop_s,
            true=first.classes[first.labels[i]],
            predicted=first.classes[predicted[i]],
            probability=float(mean[i, predicted[i]]),
            of_true=float(mean[i, first.labels[i]]),
            seeds_wrong=int((each[:, i] != first.labels[i]).sum()),
        )
        for i in shown
    )
    return Errors(title, len(seeds), len(wrong), len(first.labels), clips, cut)


def _occurrence(names: Iterable[str]) -> Iterator[int]:
    """Yields for each name how often it has come before."""
    seen: Counter[str] = Counter()
    for name in names:
        yield seen[name]
        seen[name] += 1


def with_sound(errors: Errors, trial: TrialConfig, data_sha256: str, storage: Path, data_root: Path | None) -> Errors:
    """The errors, each with its sound.

    Args:
        errors: the errors.
        trial: a trial of their cell.
        data_sha256: the hash of the data that the trial was given.
        storage: the folder of the sweep, which has the places of the recordings in `scans/`.
        data_root: the folder of the corpus, where it lies elsewhere now; None for where the sweep found it.

    Raises:
        CorpusError: if the recordings are not found, or are not those that were tested.
    """
    scan = storage / "scans" / f"{data_sha256[:16]}.json"
    hashes: dict[str, str] = {}
    if scan.is_file():
        scanned = manifest.read(scan)
        hashes = {name: facts.sha256 for name, facts in scanned.facts.items()}
        recordings = {its.id: _moved(its, scanned.corpus.root, data_root) for its in scanned.corpus.recordings}
    elif data_root:
        found = corpus.find(trial.corpus, data_root, trial.class_list, trial.groups, trial.target)
        recordings = {recording.id: recording for recording in found.recordings}
    else:
        raise CorpusError(
            f"--audio: {scan}, which says where the recordings lie, is missing; name the folder of the sweep with "
            "--storage, or that of the corpus with --data-root"
        )
    clips = []
    for clip in errors.clips:
        if clip.recording not in recordings:
            raise CorpusError(f"--data-root {data_root}: has no recording {clip.recording}; name the tested corpus")
        recording = recordings[clip.recording]
        samples, rate_hz = heard.clip(recording, errors.cut, clip.clip, hashes.get(clip.recording, ""))
        sound = heard.data_uri(samples[: round(LONGEST_S * rate_hz)], rate_hz)
        clips.append(dataclasses.replace(clip, sound=sound))
    return dataclasses.replace(errors, clips=tuple(clips))


def _moved(recording: Recording, old_root: Path, root: Path | None) -> Recording:
    """The recording in another folder."""
    if root is None or not recording.path.is_relative_to(old_root):
        return recording
    return dataclasses.replace(recording, path=root / recording.path.relative_to(old_root))
