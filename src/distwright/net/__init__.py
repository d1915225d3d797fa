"""Outgoing connections, and the loopback server that builds read snapshots from. Nothing else talks to a network."""
