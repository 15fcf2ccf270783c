"""Checks of the bounds on seeded instances, and the arithmetic of 50 digits that they use."""
