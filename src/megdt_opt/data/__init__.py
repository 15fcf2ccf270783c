"""Data that ships with the package: published timings, measured profiles and scenarios."""
