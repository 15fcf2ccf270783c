"""Many scenarios at once: the price method compiled for small problems, spread over threads."""
