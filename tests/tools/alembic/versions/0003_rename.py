from alembic import op

revision, down_revision = "0003", "0002"


def upgrade():
    with op.batch_alter_table("book") as batch:
        batch.alter_column("pages", new_column_name="page_count")
    op.rename_table("tag", "label")
    op.rename_table("book_tag", "book_label")
    op.alter_column("book_label", "tag_id", new_column_name="label_id")


def downgrade():
    op.alter_column("book_label", "label_id", new_column_name="tag_id")
    op.rename_table("book_label", "book_tag")
    op.rename_table("label", "tag")
    with op.batch_alter_table("book") as batch:
        batch.alter_column("page_count", new_column_name="pages")
