import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade():
    with op.batch_alter_table("book") as batch:
        batch.add_column(sa.Column("price", sa.Numeric(8, 2), nullable=False, server_default="0"))
    with op.batch_alter_table("author") as batch:
        batch.add_column(sa.Column("country", sa.String(2)))


def downgrade():
    with op.batch_alter_table("author") as batch:
        batch.drop_column("country")
    op.drop_column("book", "price")  # ALTER TABLE DROP COLUMN, without a rebuild
