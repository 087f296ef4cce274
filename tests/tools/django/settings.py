"""A small shop. Nothing here knows of the mirror: Django manages its own models' tables only, so
no setting keeps it away from `_syncd_journal`."""

import os

SECRET_KEY = "not a secret"
INSTALLED_APPS = ["django.contrib.contenttypes", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["DATABASE"]}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
