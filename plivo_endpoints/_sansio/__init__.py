"""The protocol without I/O: no await, clock, randomness or socket in here.

An operation is a value. Pure functions turn it and its arguments into a request, and a response into a model
or an error. Whether an attempt may be retried depends on its class alone (`retry.classify`): NOT_SENT may
always be retried, REFUSED and DONE never, THROTTLED after a pause, and AMBIGUOUS only if the operation is
idempotent. A create is not, so an ambiguous create is never sent again. This rule is why the library exists;
all code that applies it is in this folder or takes the decision from here.
"""
