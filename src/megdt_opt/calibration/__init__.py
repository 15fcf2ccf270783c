"""Calibration: time every stage of a model on a device, and notice when the device has drifted since."""

from __future__ import annotations

from megdt_opt.calibration.drift import DriftReport, recalibrate
from megdt_opt.calibration.measure import calibrate

__all__ = ["DriftReport", "calibrate", "recalibrate"]
