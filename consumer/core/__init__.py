"""The pure core: no I/O, no thread, no clock. Bad data is a value, time comes in with the events.

Reading order is a record's way: `payment` judges it, `batch` holds it, `dedupe` knows what landed,
`lease` says how long we may write, `partition` orders everything that happens to it.
"""
