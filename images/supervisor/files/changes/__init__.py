"""What changed in the workspace since the last look, and what a tree holds."""
