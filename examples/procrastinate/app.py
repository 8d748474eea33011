"""Workers of Procrastinate that create the endpoints of a fleet; see README.md."""

import os

import procrastinate

from plivo_endpoints.provisioning.procrastinate import fleet_blueprint

DATABASE = os.environ["DATABASE_URL"]
SETTLE = float(os.environ.get("SETTLE", "120"))  # less is only for the sandbox

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=DATABASE))
app.add_tasks_from(fleet_blueprint(f"{DATABASE}#phones", settle=SETTLE), namespace="plivo")
