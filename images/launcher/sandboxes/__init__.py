"""Sandboxes that the launcher itself becomes."""
