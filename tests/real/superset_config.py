# Superset as the tests run it: it believes X-Remote-User at /login/, for accounts that exist.

import os

from flask_appbuilder.security.manager import AUTH_REMOTE_USER
from superset.security import SupersetSecurityManager

SECRET_KEY = "test-only-secret-key-of-superset-0123456789"
SQLALCHEMY_DATABASE_URI = f"sqlite:///{os.environ['FOLDER']}/superset.db"
AUTH_TYPE = AUTH_REMOTE_USER
AUTH_REMOTE_USER_ENV_VAR = "HTTP_X_REMOTE_USER"
AUTH_USER_REGISTRATION = False
# The administrator of the API signs in there by a password, which is another provider than that of people.
AUTH_API_LOGIN_ALLOW_MULTIPLE_PROVIDERS = True
FAB_ADD_SECURITY_API = True
ENABLE_PROXY_FIX = True
SESSION_COOKIE_SECURE = True
TALISMAN_ENABLED = False
RATELIMIT_ENABLED = False


class SecurityManager(SupersetSecurityManager):
    # Superset 6 has a sign-in page of its own, which would stand where Flask-AppBuilder reads the header.
    register_superset_auth_view = False


CUSTOM_SECURITY_MANAGER = SecurityManager
