"""Timing files of other programs, each read into the same figures."""
