"""The log-mel front ends of the PANNs (Kong et al. 2020), one for each rate at which they were pre-trained.

They are separate from the networks, so that another family with the same front ends does not depend on PANN code.
"""

from __future__ import annotations

from trainable.network.card import FrontEnd

NUM_MELS = 64
# Window, hop and upper cut-off follow the rate, so that every network sees 10 ms hops. The PANNs were trained with
# cut-offs of 8 and 4 kHz at the lower rates; the text of Mohammadi et al. says 7 and 3.5 kHz (docs/fidelity.md).
FRONT_ENDS = {
    32_000: FrontEnd(rate_hz=32_000, window=1024, hop=320, f_min_hz=50, f_max_hz=14_000, num_mels=NUM_MELS),
    16_000: FrontEnd(rate_hz=16_000, window=512, hop=160, f_min_hz=50, f_max_hz=8_000, num_mels=NUM_MELS),
    8_000: FrontEnd(rate_hz=8_000, window=256, hop=80, f_min_hz=50, f_max_hz=4_000, num_mels=NUM_MELS),
}
