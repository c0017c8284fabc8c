"""The store's own fixtures: what acts is tested on both databases."""

from tests.store.conftest import cluster, database, templates, url

__all__ = ["cluster", "database", "templates", "url"]
