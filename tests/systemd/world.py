"""The machine with an application on it, the service set up for its database, and a DynamoDB engine
that is started when a test says so."""

import os
import secrets
import socket
import subprocess

import compare
from harness import REGION, ROOT, Endpoint, dynamodb, eventually
from machine import Machine

KEYS = ("AKIDSYNCDTEST", "syncdTestSecretKey")
DATABASE = "/var/lib/app/app.db"

# Writes until it is told to stop, and once more then. What it wrote last is for the tests to see.
APPLICATION = """#!/bin/sh
cd /var/lib/app || exit 1
write() { sqlite3 -cmd '.timeout 20000' app.db "INSERT INTO log(text) VALUES('$1')"; }
stop() { write last; echo "the last row is written"; exit 0; }
trap stop TERM
write first
while :; do
    write row
    sleep 0.2 & wait $!
done
"""

APPLICATION_UNIT = """[Unit]
Description=The application
[Service]
Type=exec
User=app
ExecStart=/usr/local/bin/application
KillMode=mixed
[Install]
WantedBy=multi-user.target
"""

# The boot is not over, and network-online.target not reached, until a file says so.
LATE_NETWORK = """[Unit]
DefaultDependencies=no
Before=network-online.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'until test -e /run/network-is-up; do sleep 0.05; done'
[Install]
WantedBy=network-online.target
"""
NEEDS_NETWORK = """[Unit]
Wants=network-online.target
After=network-online.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
[Install]
WantedBy=multi-user.target
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class World:
    def __init__(self, cache, engine_directory):
        self.cache = cache
        self.engine_directory = engine_directory
        self.engine_runs = False
        self.port = free_port()
        self.endpoint = Endpoint("http://127.0.0.1:%d" % self.port, *KEYS)
        self.client = dynamodb(self.endpoint)
        self.prefix = "t%s-" % secrets.token_hex(4)
        self.machine = Machine(os.path.join(cache, "base"), os.path.join(cache, "run"))
        self.install()
        self.links_after_install = self.links()
        self.make_application()
        self.make_users()
        self.setup_output = self.set_up("app", DATABASE, "--application", "app").stdout

    def close(self):
        self.machine.close()
        if self.engine_runs:
            subprocess.run(
                [os.path.join(ROOT, "scripts", "dynamodb-local"), "stop", "--dir", self.engine_directory], check=True
            )

    # Before the boot.

    def install(self):
        m, package = self.machine, os.environ.get("SYNCD_DEB")
        if package:
            m.copy_in(package, "/tmp/syncd.deb")
            m.chroot("dpkg", "--install", "/tmp/syncd.deb")
        else:
            subprocess.run(
                ["make", "--no-print-directory", "-C", ROOT, "install", "PREFIX=/usr", "DESTDIR=" + m.root],
                check=True, stdout=subprocess.DEVNULL,
            )
            m.chroot("systemd-sysusers")
        m.copy_in(os.path.join(self.cache, "probe"), "/usr/local/bin/probe")

    def links(self):
        """What systemd would start at boot, of ours."""
        found = []
        for top in ("etc/systemd", "usr/lib/systemd", "lib/systemd", "run/systemd"):
            for directory, _, names in os.walk(self.machine.path(top)):
                if directory.endswith((".wants", ".requires")):
                    found += [os.path.join(directory, n) for n in names if "syncd" in n]
        return found

    def make_application(self):
        m = self.machine
        m.chroot("useradd", "--system", "--user-group", "--home-dir", "/var/lib/app", "app")
        m.chroot("install", "-d", "-o", "app", "-g", "app", "-m", "0750", "/var/lib/app")
        m.write("usr/local/bin/application", APPLICATION, 0o755)
        m.write("etc/systemd/system/app.service", APPLICATION_UNIT)
        m.write("etc/systemd/system/late-network.service", LATE_NETWORK)
        m.write("etc/systemd/system/needs-network.service", NEEDS_NETWORK)
        self.as_user("app", DATABASE, "PRAGMA journal_mode=WAL; CREATE TABLE log(id INTEGER PRIMARY KEY, text)")
        for unit in ("app", "late-network", "needs-network"):
            m.chroot("systemctl", "enable", unit)

    def make_users(self):
        m = self.machine
        for name, groups in (("member", "syncd"), ("stranger", ""), ("homely", "")):
            m.chroot("useradd", "--create-home", "--user-group", *(["--groups", groups] if groups else []), name)
        m.write("home/homely/private", "nobody else's business\n", 0o644)
        m.write("etc/elsewhere", "")
        m.chroot("install", "-d", "-m", "0777", "/srv/open")

    def as_user(self, user, database, sql):
        self.machine.chroot("setpriv", "--reuid", user, "--regid", user, "--clear-groups", "sqlite3", database, sql)

    def set_up(self, name, database, *more, where=None):
        """syncctl setup, and what only a test needs: the engine's keys, tables made as needed, short
        waits."""
        m = self.machine
        done = (where or m.chroot)(
            "syncctl", "setup", name, "--database", database, "--region", REGION, "--endpoint-url", self.endpoint.url, *more
        )
        m.write("etc/syncd/%s.env" % name, "AWS_ACCESS_KEY_ID=%s\nAWS_SECRET_ACCESS_KEY=%s\n" % KEYS, 0o600)
        m.write(
            "etc/syncd/%s.conf.d/test.conf" % name,
            "[dynamodb]\ncreate_tables = yes\ntable_name = %s%s-{table}\n"
            "[sync]\nbackoff_max = 200ms\nunconfirmed_horizon = 1s\n" % (self.prefix, name),
        )
        return done

    # Running.

    def start_engine(self):
        subprocess.run(
            [
                os.path.join(ROOT, "scripts", "dynamodb-local"), "start", "--port", str(self.port),
                "--dir", self.engine_directory,
            ],
            check=True, stdout=subprocess.DEVNULL,
        )
        self.engine_runs = True

    def engine_pid(self):
        with open(os.path.join(self.engine_directory, "pid"), encoding="ascii") as file:
            return int(file.read().split()[0])

    def settings(self, name):
        return {
            "source": {},
            "dynamodb": {"table_name": "%s%s-{table}" % (self.prefix, name)},
        }

    def report(self, name="app", database=DATABASE):
        return compare.compare(self.machine.path(database), self.client, self.settings(name))

    def ctl(self, *arguments, name="app", **options):
        return self.machine.inside("syncctl", "--name", name, *arguments, **options)

    def settle(self, name="app", database=DATABASE):
        """Both sides are equal, for an application that stands still."""
        self.ctl("wait", "--timeout", "30s", name=name)
        eventually(lambda: self.report(name, database).equal, "both sides being equal")

    def last_text(self, name="app"):
        pages = self.client.get_paginator("scan").paginate(TableName="%s%s-log" % (self.prefix, name), ConsistentRead=True)
        rows = [(int(i["id"]["N"]), i["text"]["S"]) for page in pages for i in page["Items"]]
        return max(rows)[1] if rows else None
