"""Signatures: the Signer protocol, its implementations, and verification."""
