"""From a scenario to a plan: chosen options, baselines, and what the calibration's intervals leave of it."""
