"""The problem classes: arrays with names and units, and their evaluation."""
