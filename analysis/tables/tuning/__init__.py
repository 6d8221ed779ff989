"""Tables of what searches give, and of what they take."""
