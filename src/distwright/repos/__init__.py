"""Hosted git repositories: made from the configuration, their pushes turned into events."""
