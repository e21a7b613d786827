"""The kit as a book of static pages: `covidseg site`. Nothing is executed for it, and nothing is ever fetched.

Notebooks are shown with their committed outputs; the reference is read from docstrings, cards of networks, papers and
data sets from what the code declares, tables from the records in ``results/``.
"""
