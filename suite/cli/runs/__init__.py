"""Commands on runs, a file each: execute them, look at them, compare them, end them."""
