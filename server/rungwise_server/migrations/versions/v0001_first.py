"""The first schema: log, keys, and what ingest knows of its sources."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_position = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    log_head = op.create_table(
        "log_head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        comment="One row: the last position given. Whoever writes to the log holds its lock until the commit.",
    )
    op.bulk_insert(log_head, [{"id": 1, "position": 0}])
    op.create_table(
        "inference",
        sa.Column("position", _position, primary_key=True, autoincrement=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.Column("workload", sa.Text, nullable=False),
        sa.Column("candidate", sa.Text, nullable=False),
        sa.Column("user_name", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("housekeeping", sa.Boolean, nullable=False),
        sa.Column("input_tokens", sa.BigInteger),
        sa.Column("output_tokens", sa.BigInteger),
        sa.Column("cost", sa.Float(53)),
        sa.Column("first_ms", sa.Float(53), nullable=False),
        sa.Column("total_ms", sa.Float(53), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.UniqueConstraint("id", name="uq_inference_id"),
    )
    op.create_index("ix_inference_at", "inference", ["at"])
    op.create_index("ix_inference_workload_position", "inference", ["workload", "position"])
    op.create_index("ix_inference_user_name_position", "inference", ["user_name", "position"])
    op.create_table(
        "feedback",
        sa.Column("position", _position, primary_key=True, autoincrement=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.Column("inference_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("user_name", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.UniqueConstraint("id", name="uq_feedback_id"),
    )
    op.create_index("ix_feedback_inference_id", "feedback", ["inference_id"])
    op.create_index("ix_feedback_user_name_position", "feedback", ["user_name", "position"])
    op.create_table(
        "api_key",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("user_name", sa.Text, nullable=False),
        sa.Column("groups", sa.Text, nullable=False, comment="A JSON array of names, without `group:`."),
        sa.Column("admin", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("revoked_at", sa.Float(53)),
        sa.UniqueConstraint("hash", name="uq_api_key_hash"),
    )
    op.create_table(
        "source_state",
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("collection", sa.Text, nullable=False),
        sa.Column(
            "collection_id", sa.Text, nullable=False, comment="Which incarnation of the collection the cursor is about."
        ),
        sa.Column("cursor", sa.Text),
        sa.Column("updated_at", sa.Float(53), nullable=False),
    )
    op.create_table(
        "source_document",
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("document_id", sa.Text, primary_key=True),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("content_hash", sa.Text, nullable=False),
        sa.Column("readers", sa.Text, nullable=False, comment="A JSON array of principals."),
        sa.Column("passages", sa.Integer, nullable=False),
        sa.Column("failed_reason", sa.Text, nullable=False, comment="Empty where the document is indexed."),
        sa.Column("indexed_at", sa.Float(53), nullable=False),
    )
