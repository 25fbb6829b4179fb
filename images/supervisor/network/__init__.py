"""What connects to and from the inside: each call's way out, and ports that the host asks for."""
