"""Trees as tar streams, in and out."""
