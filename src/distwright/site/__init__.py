"""The installation as a whole: applied configuration, health, the state of the line."""
