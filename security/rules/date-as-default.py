from datetime import date, datetime, timezone


# ruleid: date-as-default
def write(frame, day=date.today()):
    frame.write.option("replaceWhere", f"day = '{day}'").save("silver/flights")


# ruleid: date-as-default
def stamp(frame, at=datetime.now(timezone.utc)):
    return frame.withColumn("loaded", at)


# ok: date-as-default
def write_later(frame, day=None):
    day = day or date.today()
    frame.write.option("replaceWhere", f"day = '{day}'").save("silver/flights")
