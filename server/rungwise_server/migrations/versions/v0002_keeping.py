"""What is kept for clients, and the work that waits for workers."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_position = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "kept",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("parent", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("expires_at", sa.Float(53), nullable=False, comment="0: never."),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("ix_kept_kind_owner_created_at_id", "kept", ["kind", "owner", "created_at", "id"])
    op.create_index("ix_kept_kind_parent_created_at_id", "kept", ["kind", "parent", "created_at", "id"])
    op.create_index("ix_kept_kind_expires_at", "kept", ["kind", "expires_at"])
    op.create_table(
        "job",
        sa.Column("position", _position, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("next_body", sa.Text, comment="Put while a worker was on it: queued anew once that is done."),
        sa.Column("worker", sa.Text, nullable=False, comment="Empty while nobody has it."),
        sa.Column(
            "free_at", sa.Float(53), nullable=False, comment="When the lease, or the wait for another try, is over."
        ),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.UniqueConstraint("id", name="uq_job_id"),
        sa.UniqueConstraint("kind", "subject", name="uq_job_kind_subject"),
    )
    op.create_index("ix_job_kind_position", "job", ["kind", "position"])
