"""What runs and launches leave on disk: files first, everything else is derived from them."""
