"""How long things last, on both databases: the promises behind the constants of `flow`."""

from tests.store.conftest import cluster, database, templates, url

__all__ = ["cluster", "database", "templates", "url"]
