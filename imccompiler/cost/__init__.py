"""Time, energy and area of one operation on one machine: pure functions on ints and arrays.

Times are integer picoseconds so that simulators and schedulers add them without rounding;
energies are picojoules, areas square millimetres, powers milliwatts.
"""
