"""The judge as a service: pairs and groups over HTTP, and the wire formats of trainers.

queue      tickets of all callers, bounded, equal ones shared
worker     a judge in a thread of its own, which works through the queue
barrier    all groups whose answers come one by one
siblings   one of them: its answers, compared as they arrive, and their rewards
guard      what stands before every route: keys, limits, idempotency, logs
jobs       large batches, a run folder behind each
wire/      one file per format
app        all of it together
"""
