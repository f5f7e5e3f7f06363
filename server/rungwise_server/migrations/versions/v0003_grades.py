"""Grades, and the surface that an answer was asked for through: what evaluations ask is no traffic."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_position = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.add_column("inference", sa.Column("surface", sa.Text, nullable=False, server_default=""))
    op.drop_index("ix_inference_at", "inference")
    summed = ["surface", "housekeeping", "outcome", "input_tokens", "output_tokens", "cost", "total_ms"]
    op.create_index("ix_inference_sums", "inference", ["at", "workload", "candidate", *summed])
    op.create_table(
        "grade",
        sa.Column("position", _position, primary_key=True, autoincrement=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.Column("inference_id", sa.Text, nullable=False),
        sa.Column("rubric", sa.Text, nullable=False),
        sa.Column("grader", sa.Text, nullable=False, comment="`Grade.grader`: a judge, or a person's principal."),
        sa.Column("user_name", sa.Text, nullable=False),
        sa.Column("value", sa.Float(53)),
        sa.Column("body", sa.Text, nullable=False),
        sa.UniqueConstraint("id", name="uq_grade_id"),
    )
    op.create_index("ix_grade_inference_id", "grade", ["inference_id"])
    op.create_index("ix_grade_user_name_position", "grade", ["user_name", "position"])
