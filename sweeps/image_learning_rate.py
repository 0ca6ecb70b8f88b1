"""Which learning rate and weight decay for ImageNet's networks on ESC-50? (Palanisamy et al. 2020, section IV-A).

2 backbones x 3 learning rates x 3 weight decays = 18 evaluations

The paper found 1e-4 and 1e-3 by a grid search with Adam and batches of 32, without naming the grid or the fold. This
study differs: one log-mel of 64 bands instead of three of 128 (too small for Inception-v3); no stretched or shifted
copies; a constant learning rate; the choice is made on fold 4, while the paper reports the fold that it chose on.

    python -m sweeps.image_learning_rate --data-root ~/ESC-50
    python -m analysis.image_learning_rate
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # so that `python sweeps/image_learning_rate.py` works

from sweeps.engine.launch import main
from sweeps.engine.search.search import Search
from sweeps.engine.search.space import Choice
from sweeps.recipes.palanisamy import ESC50

SWEEP = Search(
    "image_learning_rate",
    base=ESC50,
    space={
        "backbone": Choice(("timm/densenet201.tv_in1k", "timm/resnet50.tv_in1k")),
        "lr": Choice((1e-5, 1e-4, 1e-3)),
        "weight_decay": Choice((1e-4, 1e-3, 1e-2)),
    },
    num_trials=18,
    sampler="grid",
)
if __name__ == "__main__":
    main(SWEEP)
