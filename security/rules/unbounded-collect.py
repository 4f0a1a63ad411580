import gc


def rows(frame, functions):
    # ruleid: unbounded-collect
    everything = frame.collect()
    # ruleid: unbounded-collect
    table = frame.where("delay > 60").toPandas()
    # ruleid: unbounded-collect
    groups = frame.groupBy("tailnum").agg(functions.sum("delay")).collect()
    # ok: unbounded-collect
    first = frame.orderBy("delay").limit(10).collect()
    # ok: unbounded-collect
    total = frame.agg(functions.sum("delay")).first()
    # ok: unbounded-collect
    one_by_one = frame.toLocalIterator()
    # ok: unbounded-collect
    gc.collect()
    return everything, table, groups, first, total, one_by_one
