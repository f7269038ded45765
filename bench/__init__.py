"""Benchmarks. Figures belong to the machine and the run; the ratios are what to keep."""
