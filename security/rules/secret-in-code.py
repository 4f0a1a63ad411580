import os


def connect(open_workspace, spark):
    # ruleid: secret-in-code
    password = "correct horse"
    # ruleid: secret-in-code
    open_workspace(host="lake", token="not a real one")
    # ruleid: secret-in-code
    spark.conf.set("fs.s3a.secret.key", "not a real one")
    # ruleid: secret-in-code
    token = os.environ.get("DATABRICKS_TOKEN", "not a real one")
    # ok: secret-in-code
    token = os.environ["DATABRICKS_TOKEN"]
    # ok: secret-in-code
    headers = {"TOKEN": "${{ github.token }}"}
    # ok: secret-in-code
    spark.conf.set("fs.s3a.endpoint", "http://localhost:9000")
    return password, token, headers
