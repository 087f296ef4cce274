"""The migration tools: how each applies and takes back one migration, and looks for differences.

A tool works in a copy of its application (the directory of its name here), made by its constructor;
its packages are in build/tools/NAME, put there by tests/tools/run. Every command is the tool's own,
a Command of arguments and additional environment; nothing of a tool is changed.
"""

import json
import os
import shutil
import subprocess
from typing import NamedTuple

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGES = os.path.join(os.path.dirname(os.path.dirname(HERE)), "build", "tools")
STEPS = 6  # migrations of each history: first, add, rename, alter type, drop, unique


class Command(NamedTuple):
    arguments: list
    environment: dict = {}


class Tool:
    """What all tools share. `left_alone`: tables of the tool's own, which no application writes."""

    name = None
    left_alone = ""
    settings = {}  # what syncd.conf should say for it
    drops_journal = True  # careless() ends so
    careless_settings = {}  # what syncd.conf must say for that to succeed

    def __init__(self, where):
        self.app = os.path.join(where, self.name)
        shutil.copytree(os.path.join(HERE, self.name), self.app)

    def package(self, *path):
        return os.path.join(PACKAGES, self.name, *path)

    def environment(self, database):
        keep = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")}
        return {**keep, "DATABASE": database, "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1"}

    def run(self, database, command, prefix=(), more=None):
        """Runs it to its end; its output, both streams in one."""
        return subprocess.run(
            [*prefix, *command.arguments],
            cwd=self.app,
            env={**self.environment(database), **command.environment, **(more or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )

    def up(self, number):
        """Applies migration `number`, those before it being there."""
        raise NotImplementedError

    def down(self, number):
        """Takes back migration `number`, the last that is there."""
        raise NotImplementedError

    def differences(self):
        """How the tool compares its models with the database, kept away from our objects by its
        snippet where it needs one: commands that must find nothing. Empty when it has no such."""
        return []

    def careless(self):
        """The same without the snippet, and the last of these commands carries out what was found.
        Empty where the tool never looks at tables that it does not know."""
        return []

    def written(self):
        """All that the commands above wrote into the application."""
        return ""


def text_below(*paths):
    """Every file at or below the paths, as one text."""
    files = [p for p in paths if os.path.isfile(p)]
    files += [os.path.join(d, n) for p in paths for d, _, names in os.walk(p) for n in names]
    texts = []
    for name in sorted(files):
        with open(name, encoding="utf-8") as file:
            texts.append(file.read())
    return "\n".join(texts)


class NodeTool(Tool):
    def __init__(self, where):
        super().__init__(where)
        os.symlink(self.package("node_modules"), os.path.join(self.app, "node_modules"))

    def command(self, program, *arguments, **environment):
        return Command([os.path.join("node_modules", ".bin", program), *arguments], environment)


class Django(Tool):
    name = "django"
    left_alone = "django_*"

    def manage(self, *arguments):
        return Command([self.package("venv", "bin", "python"), "manage.py", *arguments])

    def up(self, number):
        return self.manage("migrate", "shop", "%04d" % number)

    def down(self, number):
        return self.manage("migrate", "shop", "%04d" % (number - 1))

    def differences(self):
        return [
            self.manage("makemigrations", "--check", "--dry-run"),
            # Without names it describes every table there is, ours too.
            self.manage("inspectdb", "shop_author", "shop_book", "shop_label"),
        ]


class Alembic(Tool):
    name = "alembic"
    left_alone = "alembic_version,_alembic_tmp_*"
    # It writes its version right after the migration; while a careless one has just dropped the
    # journal, a trigger there would make it fail.
    careless_settings = {"source": {"exclude_tables": "alembic_version"}}

    def alembic(self, *arguments, **environment):
        return Command([self.package("venv", "bin", "alembic"), *arguments], environment)

    def up(self, number):
        return self.alembic("upgrade", "%04d" % number)

    def down(self, number):
        return self.alembic("downgrade", "%04d" % (number - 1))

    def differences(self):
        return [self.alembic("check", EXCLUDE="yes")]

    def careless(self):
        return [
            self.alembic("revision", "--autogenerate", "--rev-id", "0007", "-m", "careless"),
            self.alembic("upgrade", "0007"),
        ]

    def written(self):
        return text_below(os.path.join(self.app, "versions", "0007_careless.py"))


class Knex(NodeTool):
    name = "knex"
    left_alone = "knex_*,_knex_*"

    def up(self, number):
        return self.command("knex", "migrate:up")

    def down(self, number):
        return self.command("knex", "migrate:down")


class TypeORM(NodeTool):
    name = "typeorm"
    left_alone = "migrations,typeorm_metadata,temporary_*"

    def typeorm(self, command, number=STEPS):
        return self.command("typeorm", command, "-d", "data-source.js", MIGRATIONS=str(number))

    def up(self, number):
        return self.typeorm("migration:run", number)

    def down(self, number):
        return self.typeorm("migration:revert", number)

    def differences(self):
        # It looks at its entities' tables only.
        return [self.typeorm("schema:log"), self.typeorm("schema:sync")]


class Drizzle(NodeTool):
    """Drizzle only goes forward: going back is one more migration, written by its generator from the
    earlier schema (migrations/back_000N.sql)."""

    name = "drizzle"
    left_alone = "__drizzle_migrations,__new_*"
    # Its rows have no key: "id SERIAL PRIMARY KEY" stays NULL in SQLite.
    settings = {"source": {"exclude_tables": "__drizzle_migrations"}}

    def __init__(self, where):
        super().__init__(where)
        self.journal = []

    def migrate(self, name):
        """One more entry in the journal of migrations, as its generator would add it."""
        self.journal.append(name)
        out = os.path.join(self.app, "out")
        os.makedirs(os.path.join(out, "meta"), exist_ok=True)
        entries = []
        for number, source in enumerate(self.journal):
            tag = "%04d_%s" % (number, source)
            shutil.copy(os.path.join(self.app, "migrations", source + ".sql"),
                        os.path.join(out, tag + ".sql"))
            entries.append({"idx": number, "version": "6", "when": 1700000000000 + number,
                            "tag": tag, "breakpoints": True})
        with open(os.path.join(out, "meta", "_journal.json"), "w", encoding="utf-8") as file:
            json.dump({"version": "7", "dialect": "sqlite", "entries": entries}, file)
        return self.command("drizzle-kit", "migrate")

    def up(self, number):
        return self.migrate("step_%04d" % number)

    def down(self, number):
        return self.migrate("back_%04d" % number)

    def differences(self):
        return [self.command("drizzle-kit", "push"),
                self.command("drizzle-kit", "pull", OUT="./pulled")]

    def careless(self):
        return [self.command("drizzle-kit", "pull", OUT="./pulled", INCLUDE="yes"),
                self.command("drizzle-kit", "push", "--force", INCLUDE="yes")]

    def written(self):
        return text_below(os.path.join(self.app, "pulled"))


class Rails(Tool):
    name = "rails"
    left_alone = "schema_migrations,ar_internal_metadata"
    drops_journal = False  # it cannot describe columns without a type: a comment in schema.rb

    def rake(self, *arguments, **environment):
        return Command(["rake", *arguments], environment)

    def up(self, number):
        return self.rake("db:migrate:up", VERSION=str(number))

    def down(self, number):
        return self.rake("db:migrate:down", VERSION=str(number))

    def differences(self):
        return [self.rake("db:schema:dump")]

    def careless(self):
        return [self.rake("db:schema:dump", INCLUDE="yes"),
                self.rake("db:schema:load", INCLUDE="yes")]

    def written(self):
        return text_below(os.path.join(self.app, "db", "schema.rb"))


TOOLS = {tool.name: tool for tool in (Django, Alembic, Knex, TypeORM, Drizzle, Rails)}
