"""imccompiler: compile, execute, time and co-search in-memory-computing accelerators."""
