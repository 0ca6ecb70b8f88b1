"""Palanisamy et al. 2020, section IV: ImageNet's networks on ESC-50, and what their code does."""

from trainable.config import TrialConfig

# Section IV-A: batches of 32, 70 epochs whose best on validation counts, and no rule that stops earlier.
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
