"""Riders' costs in compiled code; nothing here loads numba before it is used."""
