import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None


def upgrade():
    op.create_table(
        "author",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("email", sa.String(100), nullable=False),
        sa.UniqueConstraint("email", name="uq_author_email"),
    )
    op.create_table(
        "tag",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(50), nullable=False),
    )
    op.create_table(
        "book",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("isbn", sa.String(20), nullable=False),
        sa.Column("pages", sa.Integer, nullable=False, server_default="0"),
        sa.Column(
            "author_id",
            sa.Integer,
            sa.ForeignKey("author.id", name="fk_book_author_id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.UniqueConstraint("isbn", name="uq_book_isbn"),
    )
    op.create_index("ix_book_title", "book", ["title"])
    op.create_table(
        "book_tag",
        sa.Column(
            "book_id",
            sa.Integer,
            sa.ForeignKey("book.id", name="fk_book_tag_book_id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column(
            "tag_id",
            sa.Integer,
            sa.ForeignKey("tag.id", name="fk_book_tag_tag_id", ondelete="CASCADE"),
            primary_key=True,
        ),
    )


def downgrade():
    for table in ("book_tag", "book", "tag", "author"):
        op.drop_table(table)
