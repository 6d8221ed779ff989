"""Arrays in, figures out: paired tests, intervals, ranks."""
