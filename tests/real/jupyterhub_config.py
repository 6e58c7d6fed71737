# JupyterHub as the tests run it: it believes X-Remote-User at its login address, for accounts that exist.
#
# jhub_remote_user_authenticator makes an account for whoever the header names, whatever allow_all says. Here its handler is narrowed to
# the accounts that are there: who gets in was made by somebody through the admin API.

import os

from jhub_remote_user_authenticator.remote_user_auth import RemoteUserAuthenticator, RemoteUserLoginHandler
from tornado import web

port, api_port, proxy_port = os.environ["PORT"], os.environ["API_PORT"], os.environ["PROXY_PORT"]
folder = os.environ["FOLDER"]


class KnownPeopleOnly(RemoteUserLoginHandler):
    def get(self):
        name = self.request.headers.get(self.authenticator.header_name, "")
        if name and self.find_user(name) is None:
            raise web.HTTPError(403, f"no account here for {name}")
        super().get()


class KnownPeopleAuthenticator(RemoteUserAuthenticator):
    def get_handlers(self, app):
        return [(r"/login", KnownPeopleOnly)]


c = get_config()  # noqa: F821
c.JupyterHub.bind_url = f"http://127.0.0.1:{port}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{api_port}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.auth_token = "test-only-token-between-hub-and-proxy"
c.ConfigurableHTTPProxy.pid_file = f"{folder}/jupyterhub-proxy.pid"
c.JupyterHub.db_url = f"sqlite:///{folder}/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = f"{folder}/jupyterhub-cookie-secret"
c.JupyterHub.authenticator_class = KnownPeopleAuthenticator
c.KnownPeopleAuthenticator.header_name = "X-Remote-User"
c.Authenticator.allow_existing_users = True
c.JupyterHub.spawner_class = "jupyterhub.spawner.SimpleLocalProcessSpawner"
c.JupyterHub.load_roles = [
    {"name": "gateway", "scopes": ["admin:users", "admin:groups", "list:users"], "services": ["gateway"]},
]
c.JupyterHub.services = [{"name": "gateway", "api_token": os.environ["TOKEN"]}]
