"""The program: instruction set, artefact, files, rules and text form."""
