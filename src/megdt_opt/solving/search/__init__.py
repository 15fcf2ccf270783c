"""The branch tree of the price method in NumPy: prices, bounds, first allocations."""
