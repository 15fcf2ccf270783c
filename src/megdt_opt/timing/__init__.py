"""Timing profiles: samples with provenance, fits, and the bundled and published ones."""
