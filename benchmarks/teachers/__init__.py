"""What the teachers learned; also the research that ships nothing.

Text branch, code generator and diversity ship nothing: they are here because the papers are about
them.
"""
