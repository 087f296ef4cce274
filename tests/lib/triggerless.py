"""A connection for which no trigger fires, which Python's own sqlite3 cannot have."""

import ctypes
import os


class Triggerless:
    ENABLE_TRIGGER, CONSTRAINT = 1003, 19  # SQLITE_DBCONFIG_ENABLE_TRIGGER, SQLITE_CONSTRAINT

    def __init__(self, path):
        self.lib = ctypes.CDLL("libsqlite3.so.0")
        self.db = ctypes.c_void_p()
        assert self.lib.sqlite3_open(os.fsencode(path), ctypes.byref(self.db)) == 0
        self.lib.sqlite3_busy_timeout(self.db, 30000)
        on = ctypes.c_int(-1)
        assert self.lib.sqlite3_db_config(self.db, self.ENABLE_TRIGGER, 0, ctypes.byref(on)) == 0
        assert on.value == 0

    def execute(self, text):
        """A constraint may refuse it."""
        code = self.lib.sqlite3_exec(self.db, text.encode(), None, None, None)
        assert code & 0xFF in (0, self.CONSTRAINT), "%s: code %d" % (text, code)

    def close(self):
        self.lib.sqlite3_close(self.db)
