"""How rows of one layer become rows of the next."""
