"""Database, object files and logs: everything that outlives a process."""
