"""Engines wake workers. The job table is the truth: a lost or doubled hint costs time, never work."""
