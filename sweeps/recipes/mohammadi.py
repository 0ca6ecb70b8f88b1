"""Mohammadi et al. 2024, section III: pre-trained networks on DeepShip, as their code has it (docs/fidelity.md)."""

import dataclasses

from trainable.config import TrialConfig

# Table I: CNN14 at every rate.
RATES = TrialConfig(
    corpus="deepship",
    backbone="cnn14",
    augment="specaugment+mixup",
    pretrain_hz=32_000,
    data_hz=32_000,
    seed=1,
    clip_s=5.0,
    scale="minmax",  # over the training split
    weights="published",
    head_dropout=0.5,  # in addition to the network's own, as in the authors' code
    input_norm="batch",
    lr=5e-5,
    batch=32,
    epochs=100,
    patience=50,
    stop_by="loss",
    keep_by="accuracy",
)
# Table II: all networks at 32 kHz, in larger batches.
PANN = dataclasses.replace(RATES, batch=64)
WAVE = dataclasses.replace(PANN, backbone="res1dnet31", augment="mixup")  # a waveform has no spectrogram to mask
TIMM = dataclasses.replace(PANN, backbone="timm/resnet50.a1_in1k", head_dropout=0)
