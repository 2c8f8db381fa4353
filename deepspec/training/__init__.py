"""Trainer-side code: everything that knows Lightning."""
