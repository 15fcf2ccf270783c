"""Chains of steps on a batched edge, placed in time by local searches in compiled code."""
