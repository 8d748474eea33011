"""The documentation site: `python -m tools.site` builds and checks it. Needs the extra `docs`."""
