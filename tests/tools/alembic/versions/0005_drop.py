import sqlalchemy as sa
from alembic import op

revision, down_revision = "0005", "0004"


def upgrade():
    with op.batch_alter_table("author") as batch:
        batch.drop_column("country")


def downgrade():
    with op.batch_alter_table("author") as batch:
        batch.add_column(sa.Column("country", sa.String(2)))
