"""The protocol without its input and output: no await, clock, randomness or socket in here.

An operation is a value. Pure functions turn it and its arguments into a request, and a response into a model
or an error. What an attempt's end means is decided by its class alone (`retry.classify`): NOT_SENT may always
be tried again, REFUSED and DONE never, THROTTLED after a pause, and AMBIGUOUS only where doing a thing twice
is the same as doing it once. A create is not such a thing, so an ambiguous create is never sent again; that
one sentence is what this library exists for, and everything that acts on it lives in this folder or reads its
answer from here.
"""
