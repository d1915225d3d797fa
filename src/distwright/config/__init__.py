"""Configuration as a value: TOML texts in, one frozen `Config` out, or every problem at once with its file and line."""
