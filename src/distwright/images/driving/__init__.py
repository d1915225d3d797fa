"""The driver of behaviour tests: a machine in QEMU, its serial line, screen, network and disks.

It runs beside QEMU in the root of the testers, where nothing of ours is installed: standard library of Python 3.11 only, relative
imports only.
"""
