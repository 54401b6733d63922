"""The inventory: what is in a set, what in it can't be used, and what comes more than once.

Who delivered a pair is what a field of its JSON says, if the request names one; else the host of
the JSON's ``url``, as img2dataset writes it, where most pairs have one; else the folder of its
shard.
"""
