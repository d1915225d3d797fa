"""Workers: lease jobs, run their steps, stream their logs, report how they ended."""
