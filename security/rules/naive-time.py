from datetime import datetime, timezone


def loaded():
    # ruleid: naive-time
    local = datetime.now()
    # ruleid: naive-time
    bare = datetime.utcnow()
    # ok: naive-time
    return local, bare, datetime.now(timezone.utc)
