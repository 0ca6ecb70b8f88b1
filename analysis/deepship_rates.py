"""Table I and Fig. 2 of Mohammadi et al. 2024: must the pre-training rate match the data rate? CNN14 on DeepShip.

python -m analysis.deepship_rates
"""

from __future__ import annotations

import sys

from analysis.engine.claims.claim import Claim, those
from analysis.engine.command import main
from analysis.engine.kinds import Pivot
from sweeps.deepship_rates import SWEEP

QUESTION = "Must the pre-training rate match the data rate? CNN14 on DeepShip"
LOW, HIGH = (2_000, 4_000), (32_000, 64_000)
CLAIMS = (
    Claim(
        "The highest accuracy is that of CNN14_32k on data at 4 kHz",
        "section IV-A, Table I",
        better=those(pretrain_hz=32_000, data_hz=4_000),
        relation="best",
    ),
    Claim(
        "Pre-trained models perform better at lower data rates (2 and 4 kHz against 32 and 64 kHz)",
        "section IV-A",
        better=those(data_hz=LOW),
        than=those(data_hz=HIGH),
    ),
    Claim(
        "All three models perform comparably when the data rate is low: CNN14_8k and CNN14_32k at 2 kHz",
        "section IV-A",
        better=those(pretrain_hz=32_000, data_hz=2_000),
        than=those(pretrain_hz=8_000, data_hz=2_000),
        relation="equal",
        margin=0.02,
    ),
    Claim(
        "All three models perform comparably when the data rate is low: CNN14_8k and CNN14_32k at 4 kHz",
        "section IV-A",
        better=those(pretrain_hz=32_000, data_hz=4_000),
        than=those(pretrain_hz=8_000, data_hz=4_000),
        relation="equal",
        margin=0.02,
    ),
    Claim(
        "CNN14_32k is robust across rates, as opposed to the models of lower rates: better above 8 kHz",
        "section IV-A",
        better=those(pretrain_hz=32_000, data_hz=(16_000, *HIGH)),
        than=those(pretrain_hz=(8_000, 16_000), data_hz=(16_000, *HIGH)),
    ),
    Claim(
        "CNN14_32k displays higher performance across lower frequencies",
        "section V",
        better=those(pretrain_hz=32_000, data_hz=LOW),
        than=those(pretrain_hz=(8_000, 16_000), data_hz=LOW),
    ),
)

if __name__ == "__main__":
    table = Pivot(down="data_hz", across="pretrain_hz")
    sys.exit(main(SWEEP, QUESTION, table, published="deepship_rates", claims=CLAIMS))
