"""The launcher kind ``slurm``: array tasks through submitit."""
