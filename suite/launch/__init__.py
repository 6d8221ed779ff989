"""Plan to workers: a campaign, the launcher kinds that bring its workers, and what ends or tidies it."""
