"""``benchmarks.yaml`` and the launcher files: composed, validated, and named by a selection."""
