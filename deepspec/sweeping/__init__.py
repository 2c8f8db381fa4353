"""Sweeps: many fits of one experiment, each a process, chosen by Optuna and shared by any number of workers."""
