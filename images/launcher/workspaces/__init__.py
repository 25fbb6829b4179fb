"""Workspaces and volumes: images, mounts, removal."""
