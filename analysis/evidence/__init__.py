"""What the runs of one profile say, computed once: rows, comparisons, verdicts."""
