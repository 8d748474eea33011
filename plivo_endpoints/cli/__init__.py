"""The command line, for people and for scripts; needs the extra `cli`. Its commands hang on `root.cli`."""
