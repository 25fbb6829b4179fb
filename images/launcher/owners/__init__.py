"""Who owns what on this machine: locks, records, and what a dead owner left."""
