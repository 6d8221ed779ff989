"""Where a number comes from: the code that a run uses, copies of it, and the machine."""
