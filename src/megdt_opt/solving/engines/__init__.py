"""What prices a problem for the search: in NumPy, and as the search sees it."""
