"""Solving a `SequencedEdgeProblem`: options, order, starts and shares of a server that serves chains in turns."""
