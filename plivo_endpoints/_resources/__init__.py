"""The resources: for each operation an `Operation`, an async method and its blocking counterpart."""
