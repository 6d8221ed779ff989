"""The launcher kind ``generic``: jobs by the commands of any scheduler, as a launcher file gives them."""
