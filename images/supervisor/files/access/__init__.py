"""From a path of the host to a descriptor inside, whatever a guest planted on the way."""
