"""The command line of ``python -m suite``: parses, calls one function, prints; a file a command."""
