"""Alembic's environment, in batch mode. EXCLUDE=yes takes the snippet that an application whose
database is mirrored needs for `--autogenerate`."""

import os
import sys

import sqlalchemy as sa
from alembic import context

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from models import Base  # noqa: E402


def include_name(name, type_, parent_names):
    return not (type_ == "table" and name.startswith("_syncd_"))


options = {"include_name": include_name} if os.environ.get("EXCLUDE") else {}
engine = sa.create_engine("sqlite:///" + os.environ["DATABASE"])
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,
        compare_type=True,
        **options,
    )
    with context.begin_transaction():
        context.run_migrations()
