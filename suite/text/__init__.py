"""Text that leaves the suite: secrets hidden, names as every store takes them."""
