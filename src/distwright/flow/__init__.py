"""Rules from events to jobs, and the engines that wake workers."""
