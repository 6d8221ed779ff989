"""Inside a worker: takes runs one by one, trains, evaluates, records."""
