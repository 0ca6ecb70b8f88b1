"""The only access to matplotlib: pictures are drawn into files, whatever a notebook or a matplotlibrc asks for.

A notebook passes its own backend to every command that it starts, in MPLBACKEND, and matplotlib cannot be imported if
that backend is not installed. The styles of a matplotlibrc would give every user different figures.
"""

from __future__ import annotations

import os
import sys
from typing import Any

if "matplotlib" not in sys.modules:  # if a notebook has loaded it, its figures are the user's
    os.environ["MPLBACKEND"] = "agg"
    os.environ["MATPLOTLIBRC"] = os.devnull  # an undecodable one would make the import fail
    import matplotlib

    matplotlib.rcdefaults()  # whatever a matplotlibrc in the working folder says

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

__all__ = [
    "Artist",
    "Axes",
    "AxesImage",
    "ConstrainedLayoutEngine",
    "Figure",
    "Line2D",
    "LinearSegmentedColormap",
    "MaxNLocator",
    "Rectangle",
    "pyplot",
    "rc_context",
]


def pyplot() -> Any:
    """Returns matplotlib's pyplot, which opens no window, even if there is a screen."""
    from matplotlib import pyplot as plt

    plt.switch_backend("agg")
    return plt
