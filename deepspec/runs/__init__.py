"""Runs as their folders tell them, one by one and beside each other."""
