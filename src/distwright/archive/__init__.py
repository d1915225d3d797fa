"""Archives: recorded upstream ones and our own; suites, snapshots, uploads, publishing."""
