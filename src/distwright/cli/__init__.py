"""The command line: `distwright <noun> <verb> …`. stdout is the answer, stderr is progress."""
