"""Scenarios as people write them, and the options that each user has in one."""
