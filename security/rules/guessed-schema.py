def read(spark, path, schema):
    # ruleid: guessed-schema
    guessed = spark.read.option("inferSchema", True).csv(path)
    # ruleid: guessed-schema
    again = spark.read.csv(path, header=True, inferSchema=True)
    # ok: guessed-schema
    return guessed, again, spark.read.schema(schema).csv(path, header=True)
