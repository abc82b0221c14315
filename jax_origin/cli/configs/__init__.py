"""The settings of the commands."""
