"""What runs code: interpreters that wait for it, runs, and contexts."""
