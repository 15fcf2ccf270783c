"""Files that the package reads at run time."""
