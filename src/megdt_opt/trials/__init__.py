"""Executions of a plan, and verdicts on them."""
