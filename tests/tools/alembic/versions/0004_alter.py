import sqlalchemy as sa
from alembic import op

revision, down_revision = "0004", "0003"


def upgrade():
    with op.batch_alter_table("book") as batch:
        batch.alter_column("page_count", type_=sa.String(20), existing_server_default="0")


def downgrade():
    with op.batch_alter_table("book") as batch:
        batch.alter_column("page_count", type_=sa.Integer, existing_server_default="0")
