"""Loops that decide how long things take: each compiled, and as plain NumPy.

A door (``sort``, ``resampled``, ``kendall``, ``products``) takes the plain form while there is
little to do: loading the compiler takes a second, compiling once takes many. Both forms of a door
give the same (tests compare them on random input); modules ``_*_loops`` hold what is compiled.
"""
