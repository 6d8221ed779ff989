"""Commands on what runs are made of, a file each: the registry, losses, data sets and the machine."""
