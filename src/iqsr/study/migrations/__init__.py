"""The migrations of the schema of a study's database, for Alembic."""
