from alembic import op

revision, down_revision = "0006", "0005"


def upgrade():
    with op.batch_alter_table("label") as batch:
        batch.create_unique_constraint("uq_label_name", ["name"])
    with op.batch_alter_table("book") as batch:
        batch.create_unique_constraint("uq_book_author_title", ["author_id", "title"])


def downgrade():
    with op.batch_alter_table("book") as batch:
        batch.drop_constraint("uq_book_author_title", type_="unique")
    with op.batch_alter_table("label") as batch:
        batch.drop_constraint("uq_label_name", type_="unique")
