"""The way to the host: dials, frames, handshakes, and the calls that come over it."""
