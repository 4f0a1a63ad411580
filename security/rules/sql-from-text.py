def delays(spark, connection, carrier):
    # ruleid: sql-from-text
    spark.sql(f"select * from silver.flights where carrier = '{carrier}'")
    # ruleid: sql-from-text
    spark.sql("select * from silver.flights where carrier = '%s'" % carrier)
    # ruleid: sql-from-text
    connection.execute("delete from flights where carrier = '{}'".format(carrier))
    # ruleid: sql-from-text
    connection.execute("drop table " + carrier)
    query = f"select * from gold.delays where carrier = '{carrier}'"
    # ruleid: sql-from-text
    spark.sql(query)
    # ok: sql-from-text
    spark.sql(
        "select * from silver.flights where carrier = :carrier",
        args={"carrier": carrier},
    )
    # ok: sql-from-text
    connection.execute("select * from flights where carrier = ?", [carrier])
    # ok: sql-from-text
    connection.execute("select carrier " + "from flights")
