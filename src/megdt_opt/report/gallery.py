"""The pictures that were made, beside what they should show."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np

from megdt_opt.pictures import Picture


def gallery_png(pictures: Sequence[Picture]) -> bytes:
    """One column per user: rendered scene, executed picture, unsplit reference."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.9 * len(pictures) + 0.6, 6.6), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(3, len(pictures), squeeze=False)
    for column, picture in enumerate(pictures):
        quality = "identical" if picture.identical else f"{picture.psnr_db:.1f} dB"
        rows = (
            (picture.truth, f"{picture.user}\nrendered scene"),
            (picture.executed, f"{picture.option}\n{picture.found} of {picture.objects} objects read"),
            (picture.unsplit, f"unsplit run\n{quality}"),
        )
        for row, (image, title) in enumerate(rows):
            axes = grid[row][column]
            axes.imshow(np.asarray(image), interpolation="nearest")
            axes.set_title(title, fontsize=8)
            axes.set_axis_off()
    out = BytesIO()
    figure.savefig(out, format="png", dpi=150)
    return out.getvalue()
