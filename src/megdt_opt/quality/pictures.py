"""How near pictures come to each other: PSNR, SSIM, and the Frechet distance of two sets of features."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

MOST_DB = 99.0
"""PSNR that equal pictures count with in means [dB]."""

_RADIUS = 5
_SIGMA = 1.5


def psnr_db(picture: Picture, reference: Picture) -> float:
    """Peak signal-to-noise ratio of 8-bit pictures [dB].

    Parameters
    ----------
    picture, reference : array
        uint8, of one shape.

    Returns
    -------
    float
        Infinite where they are equal bit for bit.

    Examples
    --------
    >>> import numpy as np
    >>> from megdt_opt.quality.pictures import psnr_db
    >>> grey = np.full((8, 8, 3), 100, dtype=np.uint8)
    >>> round(psnr_db(grey + np.uint8(1), grey), 2), psnr_db(grey, grey)
    (48.13, inf)
    """
    error = np.mean((picture.astype(float) - reference.astype(float)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255.0**2 / error))


def ssim(picture: Picture, reference: Picture) -> float:
    """Structural similarity of two 8-bit pictures (Wang et al. 2004; Gaussian window of 11, sigma 1.5).

    Parameters
    ----------
    picture, reference : array
        uint8, (rows, columns, channels), at least 11 rows and columns.

    Returns
    -------
    float
        At most 1, for equal ones; the mean over channels and over all places of the window inside the picture.

    Examples
    --------
    >>> import numpy as np
    >>> from megdt_opt.quality.pictures import ssim
    >>> shades = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
    >>> ssim(shades, shades), ssim(shades, 255 - shades) < 0
    (1.0, True)
    """
    from scipy.ndimage import correlate1d

    axis = np.arange(-_RADIUS, _RADIUS + 1)
    line = np.exp(-(axis**2) / (2 * _SIGMA**2))
    line /= line.sum()

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        over = correlate1d(correlate1d(values, line, axis=0), line, axis=1)
        inner: NDArray[np.float64] = over[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS]
        return inner

    a, b = picture.astype(np.float64), reference.astype(np.float64)
    ma, mb = mean(a), mean(b)
    va, vb, cov = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return float((((2 * ma * mb + c1) * (2 * cov + c2)) / ((ma**2 + mb**2 + c1) * (va + vb + c2))).mean())


def frechet(features: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Frechet distance of two sets of features, each taken as normal (Heusel et al. 2017), in squared units of theirs.

    Parameters
    ----------
    features, reference : array
        (M, F), a row a picture.

    Returns
    -------
    float
        ||m1 - m2||^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), at least 0.

    Examples
    --------
    >>> import numpy as np
    >>> from megdt_opt.quality.pictures import frechet
    >>> some = np.random.default_rng(0).standard_normal((200, 3))
    >>> round(frechet(some, some), 6), round(frechet(some + [2.0, 0.0, 0.0], some), 6)
    (0.0, 4.0)
    """
    from scipy.linalg import sqrtm

    means = features.mean(axis=0) - reference.mean(axis=0)
    first, second = np.cov(features, rowvar=False), np.cov(reference, rowvar=False)
    root = np.real(sqrtm(first @ second))
    return max(0.0, float(means @ means + np.trace(first) + np.trace(second) - 2 * np.trace(root)))


def spread(features: NDArray[np.float64], reference: NDArray[np.float64], parts: int = 10) -> float:
    """Standard error of `frechet` of these pairs, by leaving out one of `parts` groups of pictures at a time."""
    groups = np.arange(len(features)) % parts
    found = np.array([frechet(features[groups != g], reference[groups != g]) for g in range(parts)])
    return math.sqrt((parts - 1) / parts * float(((found - found.mean()) ** 2).sum()))
