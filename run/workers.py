"""Work for several processes, a few jobs ahead: what they get and give must pickle."""
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from itertools import islice


def batches(items, length=len, most=None):
    """Lists that end with a million characters (`length` of an item) or `most` items."""
    batch, size = [], 0
    for item in items:
        batch.append(item)
        size += length(item)
        if size >= 1 << 20 or len(batch) == most:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def in_order(function, jobs, workers, initializer=None, initargs=()):
    """Yields (job, function(job)) in the order of the jobs."""
    jobs, waiting = iter(jobs), deque()
    with ProcessPoolExecutor(workers, initializer=initializer, initargs=initargs) as pool:
        while True:
            for job in islice(jobs, 2 * workers - len(waiting)):
                waiting.append((job, pool.submit(function, job)))
            if not waiting:
                return
            job, answer = waiting.popleft()
            yield job, answer.result()
