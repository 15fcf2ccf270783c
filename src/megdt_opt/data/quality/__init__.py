"""Measured quality of pictures whose first steps were shared."""
