"""Measured timing profiles, one JSON file each."""
