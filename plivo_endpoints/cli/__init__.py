"""The command line, for people and scripts; needs the extra `cli`. The root group is `main.cli`."""
