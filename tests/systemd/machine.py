"""A small Debian machine with a real systemd, for as long as the tests run.

Before it boots, files are put into its root and commands run in it by chroot; afterwards commands run
inside by nsenter, so that the machine need not be registered anywhere and it does not matter what runs
as process 1 outside. It shares the network with its host: an engine on loopback here is one there.
"""

import os
import shutil
import signal
import subprocess
import time

from harness import eventually

BOOT = 60  # seconds; a machine at rest takes five
UNITS = "usr/lib/systemd/system"


class Failed(AssertionError):
    pass


class Machine:
    def __init__(self, base, root):
        self.root = root
        self.nspawn = None
        self.leader = None
        self.console = root + ".console"
        shutil.rmtree(root, ignore_errors=True)
        subprocess.run(["cp", "-a", "--reflink=auto", base, root], check=True)
        self.write("etc/machine-id", "uninitialized\n")
        self.write("etc/hostname", "syncd-test\n")

    # Before the boot.

    def path(self, inside):
        return os.path.join(self.root, inside.lstrip("/"))

    def write(self, inside, text, mode=0o644):
        path = self.path(inside)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        os.chmod(path, mode)

    def chroot(self, *command, check=True):
        return self._run(["chroot", self.root, *command], check)

    def copy_in(self, source, inside):
        shutil.copy(source, self.path(inside))

    # Running.

    def boot(self):
        with open(self.console, "wb") as log:
            self.nspawn = subprocess.Popen(
                [
                    "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--link-journal=no",
                    "--resolv-conf=off", "--timezone=off", "--machine=syncd-test-%d" % os.getpid(),
                    "--directory=" + self.root, "--boot",
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        self.leader = eventually(self._find_leader, "a process 1 inside", BOOT)
        eventually(
            lambda: self.inside("systemctl", "is-system-running", check=False).stdout.strip()
            in ("starting", "running", "degraded"),
            "systemd answering inside",
            BOOT,
        )

    def _find_leader(self):
        if self.nspawn.poll() is not None:
            raise Failed("systemd-nspawn ended with exit code %d:\n%s" % (self.nspawn.returncode, self.console_text()))
        with open("/proc/%d/task/%d/children" % (self.nspawn.pid, self.nspawn.pid), encoding="ascii") as children:
            for pid in children.read().split():
                with open("/proc/%s/comm" % pid, encoding="utf-8") as name:
                    if name.read().strip() == "systemd":
                        return int(pid)
        return None

    def inside(self, *command, check=True, user=None):
        """Runs a command in the running machine, as root or as a user with his groups."""
        as_user = ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--reset-env"] if user else []
        enter = ["nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--"]
        return self._run([*enter, *as_user, *command], check)

    def _run(self, command, check):
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            timeout=120, check=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
        )
        if check and done.returncode != 0:
            raise Failed("%s: exit code %d\n%s%s" % (" ".join(command), done.returncode, done.stdout, done.stderr))
        return done

    def shell(self, text, **options):
        return self.inside("sh", "-c", text, **options).stdout

    def show(self, unit, name):
        return self.inside("systemctl", "show", "--value", "--property=" + name, unit).stdout.strip()

    def journal(self, unit, *more):
        return self.inside("journalctl", "--no-pager", "-u", unit, *more).stdout

    def console_text(self):
        with open(self.console, encoding="utf-8", errors="replace") as log:
            return log.read()

    def poweroff(self):
        """An orderly end, as at `systemctl poweroff`."""
        self.inside("systemctl", "poweroff", check=False)
        self.nspawn.wait(BOOT)
        self.nspawn = None

    def close(self):
        if self.nspawn is None:
            return
        if self.leader:
            # systemd(1): SIGRTMIN+4 asks for poweroff.
            os.kill(self.leader, signal.SIGRTMIN + 4)
        end = time.monotonic() + 30
        while self.nspawn.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        if self.nspawn.poll() is None:
            self.nspawn.kill()
            self.nspawn.wait()
        self.nspawn = None
