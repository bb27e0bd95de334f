"""Chaos: a seeded load on a served database while its servers, connections, workers and files fail; and a soak.

`make chaos` runs it for every engine. What was answered is compared at the end with what the database holds.
"""
