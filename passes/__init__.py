"""Compiler passes: one concern a file, registered by name."""

if not __name__.startswith("imccompiler."):
    raise ImportError("import this package as imccompiler.passes, not by its folder's name")
