"""The suite from Python: what `suite` offers to notebooks beside losses and pairs."""
