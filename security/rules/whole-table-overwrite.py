from deltalake import write_deltalake


def save(frame, rows, day):
    # ruleid: whole-table-overwrite
    frame.write.format("delta").mode("overwrite").save("silver/flights")
    # ruleid: whole-table-overwrite
    write_deltalake("silver/flights", rows, mode="overwrite")
    # ok: whole-table-overwrite
    frame.write.format("delta").mode("overwrite").option("replaceWhere", day).save(
        "silver/flights"
    )
    # ok: whole-table-overwrite
    write_deltalake("silver/flights", rows, mode="overwrite", predicate=day)
    # ok: whole-table-overwrite
    frame.write.format("delta").mode("append").save("bronze/flights")
