"""The generated pictures beside the unsplit run's and the ground truth."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from megdt_opt.report.canvas import FAINT, INK, new_figure, settings
from megdt_opt.report.numbers import short
from megdt_opt.trials.pictures import Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ACROSS = 6
"""Users side by side; further users start a new block of rows [1]."""

_ROWS = (("truth", "ground truth"), ("unsplit", "unsplit run"), ("executed", "executed split"))


def quality(picture: Picture) -> tuple[str, str]:
    """What the hand-over changed, and what the detector read, in words."""
    same = "equals unsplit" if picture.identical else f"{picture.psnr_db:.1f} dB to unsplit"
    return same, "" if picture.objects is None else f"{picture.found} of {picture.objects} objects read"


def pictures_figure(pictures: Sequence[Picture]) -> Figure:
    """One column a user: ground truth, unsplit run, executed split, all enlarged without smoothing.

    Parameters
    ----------
    pictures : sequence of Picture
        At least one.

    Returns
    -------
    matplotlib.figure.Figure
    """
    across = min(len(pictures), ACROSS)
    blocks = math.ceil(len(pictures) / across)
    with settings():
        figure = new_figure(0.9 + 1.5 * across, 5.2 * blocks)
        grid = figure.subplots(3 * blocks, across, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for number, picture in enumerate(pictures):
            block, column = divmod(number, across)
            for row, (name, words) in enumerate(_ROWS):
                if getattr(picture, name) is None:
                    continue
                axes = grid[3 * block + row, column]
                axes.set_axis_on()
                axes.imshow(getattr(picture, name), interpolation="nearest")
                axes.set_xticks([])
                axes.set_yticks([])
                axes.spines[:].set_visible(False)
                if column == 0:
                    axes.set_ylabel(words, color=INK, size=9)
            grid[3 * block, column].set_title(short(picture.user, 16), size=9, weight="bold", pad=14)
            grid[3 * block, column].text(
                0.5,
                1.02,
                picture.option,
                transform=grid[3 * block, column].transAxes,
                ha="center",
                size=7.5,
                color=FAINT,
            )
            grid[3 * block + 2, column].set_xlabel("\n".join(quality(picture)), size=8, color=INK)
    return figure


def enlarged_png(image: NDArray[np.uint8], factor: int = 4) -> bytes:
    """A picture (rows, columns, 3), every pixel made `factor` by `factor`, as PNG."""
    import matplotlib.image

    large = np.repeat(np.repeat(image, factor, axis=0), factor, axis=1)
    buffer = io.BytesIO()
    matplotlib.image.imsave(buffer, large, format="png")
    return buffer.getvalue()
