"""Bytes to values and back: the formats of Debian archives, uploads and packages. No I/O, no foreign exceptions."""
