"""A plain script that fine-tunes a network for an epoch on a corpus in ESC-50's layout, without this project.

    python -m benchmarks.plain_script DATA_ROOT NETWORK CORES

It is the peer of a first trial in `benchmarks/overhead.py`: it has the same network, clips, rate, mel bands and
batches, and nothing else: no scan, no checked split, no record. It prints a line when the epoch is done.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import soundfile
import soxr
import timm
import torch
import torchaudio

RATE_HZ, CLIP_S, BATCH, LR = 32_000, 5, 32, 5e-5


def main(root: Path, network: str, num_threads: int) -> None:
    """Reads the training and validation clips, trains an epoch, and prints the validation accuracy."""
    torch.set_num_threads(num_threads)
    with (root / "meta" / "esc50.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    classes = sorted({row["category"] for row in rows})
    mel = torchaudio.transforms.MelSpectrogram(RATE_HZ, 1024, hop_length=320, f_min=50, f_max=14_000, n_mels=64)
    to_db = torchaudio.transforms.AmplitudeToDB()
    sets: dict[str, list[tuple[torch.Tensor, int]]] = {"train": [], "validation": []}
    for row in rows:
        if row["fold"] == "5":
            continue
        wave, rate_hz = soundfile.read(root / "audio" / row["filename"], dtype="float32")
        wave = soxr.resample(wave, rate_hz, RATE_HZ)[: RATE_HZ * CLIP_S]
        wave = np.pad(wave, (0, RATE_HZ * CLIP_S - len(wave)))
        role = "validation" if row["fold"] == "4" else "train"
        sets[role].append((to_db(mel(torch.from_numpy(wave)))[None], classes.index(row["category"])))
    inputs, labels = zip(*sets["train"], strict=True)
    x, y = torch.stack(inputs), torch.tensor(labels)
    mean, std = x.mean(), x.std()
    model = timm.create_model(network, in_chans=1, num_classes=len(classes))
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    model.train()
    for part in torch.randperm(len(x)).split(BATCH):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model((x[part] - mean) / std), y[part]).backward()
        optimizer.step()
    model.eval()
    inputs, labels = zip(*sets["validation"], strict=True)
    with torch.inference_mode():
        guesses = model((torch.stack(inputs) - mean) / std).argmax(1)
    print(f"an epoch is done: validation accuracy {(guesses == torch.tensor(labels)).float().mean():.3f}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
