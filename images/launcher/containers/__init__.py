"""Sandboxes whose containers an engine makes."""
