"""Programs that measure a claim beside its peer, in one run: `python -m benchmarks.NAME`."""
