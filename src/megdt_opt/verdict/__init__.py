"""Which input of a plan an execution shows to be wrong, and the intervals in which latencies lie."""
