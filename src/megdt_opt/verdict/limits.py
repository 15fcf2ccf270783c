"""When a figure counts as wrong: each limit lies between honest runs and those of an input that is 30 % off.

Figures are ratios of measured to stated; a ratio r is log(r / centre) / log(limit) limits away, either way.
"""

from __future__ import annotations

PAYLOAD = 1.02
"""Bytes of a payload against what the plan states [1]."""

LINK = 1.10
"""Time on a link against bytes over the allocated rate [1]; honest probes lie within 1.5 %."""

SHARE = 1.13
"""Time of a block against what its share of the processor makes of its processor seconds [1]."""

PROFILE = 1.14
"""Processor seconds against the calibration, corrected by the reference kernel, median of all timings [1]: half way, in
logarithms, to what is 30 % off."""

PROFILE_RUNS = 5
"""Runs of which the median judges a profile [1]: one run in eight is off by 15 % where nothing is wrong."""

RETIMED_SAMPLES = 4
"""Samples of each stage that is timed anew [1], in each of `PROFILE_RUNS` rounds over all actors."""

CLOSE = 0.4
"""Nearer than this to its limit, in limits, a profile is timed anew once more before it is judged [1]."""

CLOSER_LOOKS = 2
"""How often that is done at most [1]."""

CLOSER_REST_S = 5.0
"""Rest before it [s]: the speed of a shared machine goes in waves of 10 to 60 s."""

LEAST_BLOCK_S = 0.2
"""Shortest block by which a share is judged [s]: shorter ones show the phase of the quota."""

LEAST_SEND_S = 0.15
"""Shortest send by which a link is judged where it was not probed [s]."""

LEAST_COMPUTED_S = 0.02
"""Least calibrated time of an actor's stages by which its profile is judged [s]."""

PSNR_DB = {"fp16": 52.0, "int8": 30.0, "jpeg": 20.0, "int8+merge25": 36.0} | {
    name + coded: 27.0 for name in ("int8+merge50", "int4", "int4+merge25", "int4+merge50") for coded in ("", "+coded")
}
"""Least agreement with the unsplit picture after a hand-over in this precision, or an image in this codec [dB]; in
fp32, and where no latent is handed over, pictures are equal bit by bit. Where the conditioning is handed over too, the
bundled twin's pictures keep at least 58.3 dB after fp16 and 34.0 dB after int8 (experiments/twin/hand_over.md, 100
scenes); one in twenty falls below 46 dB after merging a quarter in 8 bit, and below 34 to 38 dB after the precisions
that merge half or have 4 bit (experiments/twin/seeds.md, 60 scenes). Another scene's picture has at most 23.6 dB. Noise
of 0.05 on a latent leaves 54 to 58 dB: after such a hand-over it is the replay of the planned split that tells."""

PSNR_OTHER_DB = 20.0
"""The same of a registered precision or codec that is not listed [dB]."""

PROBE_BYTE = 5500
"""Least payload of a probe of a link [byte]."""

PROBE_S = 0.15
"""Time that a probe should take on its link [s]."""
