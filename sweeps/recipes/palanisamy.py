"""Palanisamy et al. 2020, section IV: ImageNet's networks on ESC-50, as their code has it."""

from trainable.config import TrialConfig

# Section IV-A: batches of 32, and 70 epochs without early stopping, of which the best on validation counts.
ESC50 = TrialConfig(
    corpus="esc50",
    split="published",
    backbone="timm/densenet201.tv_in1k",
    pretrain_hz=32_000,
    data_hz=44_100,
    augment="none",
    seed=1,
    clip_s=5.0,
    weights="published",
    lr=1e-4,
    batch=32,
    epochs=70,
    keep_by="accuracy",
)
