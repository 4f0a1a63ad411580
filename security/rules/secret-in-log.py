import logging
import os

log = logging.getLogger(__name__)


def connect(host, token, dbutils):
    # ruleid: secret-in-log
    print(token)
    # ruleid: secret-in-log
    log.info(f"connecting to {host} with {token}")
    # ruleid: secret-in-log
    logging.debug("token %s", os.environ["DATABRICKS_TOKEN"])
    # ruleid: secret-in-log
    print(dbutils.secrets.get("lake", "password"))
    # ok: secret-in-log
    log.info("connecting to %s, token %s", host, "set" if token else "missing")
    # ok: secret-in-log
    print("the token comes from the environment")
