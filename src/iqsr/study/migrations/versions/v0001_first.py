"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "study",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("design_sha256", sa.String(64), nullable=False),
        sa.Column("key_fingerprint", sa.String(64), nullable=False),
    )
    op.create_table(
        "raters",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(200), nullable=False, unique=True),
        sa.Column("seat", sa.String(200), nullable=False, index=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False, unique=True),
        *(
            sa.Column(f"{what}_at", sa.String(32))
            for what in ("joined", "consented", "before", "after", "withdrawn", "replaced")
        ),
        sa.UniqueConstraint("seat", "generation"),
    )
    op.create_table(
        "trials",
        sa.Column("rater_id", sa.Integer(), sa.ForeignKey("raters.id"), primary_key=True),
        sa.Column("position", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("trial", sa.String(200), nullable=False),
        sa.Column("picture", sa.Text(), nullable=False),
        sa.Column("shown", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
    )
    _make_tables_of_what_raters_say()


def _make_tables_of_what_raters_say() -> None:
    """What a withdrawal deletes."""
    op.create_table(
        "events",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("rater_id", sa.Integer(), sa.ForeignKey("raters.id"), nullable=False, index=True),
        sa.Column("trial", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("key", sa.String(64)),
        sa.Column("choice", sa.Integer()),
        sa.Column("strength", sa.String(16), nullable=False),
        sa.Column("seconds", sa.Double()),
        sa.Column("zoom", sa.Double()),
        sa.Column("viewport_width", sa.Integer()),
        sa.Column("viewport_height", sa.Integer()),
        sa.Column("pixel_ratio", sa.Double()),
        sa.Column("at", sa.String(32), nullable=False),
        sa.UniqueConstraint("rater_id", "key"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "answers",
        sa.Column("rater_id", sa.Integer(), sa.ForeignKey("raters.id"), primary_key=True),
        sa.Column("part", sa.String(8), primary_key=True),
        sa.Column("question", sa.String(200), primary_key=True),
        sa.Column("value", sa.Text(), nullable=False),
    )
    op.create_table(
        "participants",
        sa.Column("pid", sa.String(200), primary_key=True),
        sa.Column("rater_id", sa.Integer(), sa.ForeignKey("raters.id"), nullable=False, unique=True),
    )
