"""Compiled: the worst deviations of many options at prices, and the best shares of given options against them."""
