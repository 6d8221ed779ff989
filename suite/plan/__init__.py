"""Registry and selection to runs: keys, states, cost, and what the seeds can show."""
