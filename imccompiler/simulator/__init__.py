"""Simulators: programs in numbers and in time, the reference, crossbar arithmetic."""
