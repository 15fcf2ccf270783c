"""The program of stages, and what follows from it: latency, costs, payloads, schedule."""
