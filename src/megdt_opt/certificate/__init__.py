"""Proofs of a bound: a tree of price vectors, and the check that recomputes it."""
