"""The operations, resource by resource: an `Operation`, an async method, and its blocking twin."""
