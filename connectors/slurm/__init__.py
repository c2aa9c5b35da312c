"""Slurm clusters reached over SSH."""
