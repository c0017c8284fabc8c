"""What we remember: one set of plain functions over SQLAlchemy Core, for SQLite and PostgreSQL."""
