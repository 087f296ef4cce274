"""The models as they are after the last migration."""

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, mapped_column


class Base(DeclarativeBase):
    # Batch mode finds constraints by name.
    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Author(Base):
    __tablename__ = "author"
    id = mapped_column(sa.Integer, primary_key=True)
    name = mapped_column(sa.String(100), nullable=False)
    email = mapped_column(sa.String(100), nullable=False, unique=True)


class Label(Base):
    __tablename__ = "label"
    id = mapped_column(sa.Integer, primary_key=True)
    name = mapped_column(sa.String(50), nullable=False, unique=True)


class Book(Base):
    __tablename__ = "book"
    __table_args__ = (sa.UniqueConstraint("author_id", "title", name="uq_book_author_title"),)
    id = mapped_column(sa.Integer, primary_key=True)
    title = mapped_column(sa.String(200), nullable=False, index=True)
    isbn = mapped_column(sa.String(20), nullable=False, unique=True)
    page_count = mapped_column(sa.String(20), nullable=False, server_default="0")
    price = mapped_column(sa.Numeric(8, 2), nullable=False, server_default="0")
    author_id = mapped_column(sa.ForeignKey("author.id", ondelete="CASCADE"), nullable=False)


class BookLabel(Base):
    __tablename__ = "book_label"
    book_id = mapped_column(sa.ForeignKey("book.id", ondelete="CASCADE"), primary_key=True)
    label_id = mapped_column(sa.ForeignKey("label.id", ondelete="CASCADE"), primary_key=True)
