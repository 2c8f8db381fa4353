"""Comparison of runs by what they left in their folders."""
