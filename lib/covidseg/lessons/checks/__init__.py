"""Answers to the notebooks' exercises, one module ``nb_<notebook>`` per notebook.

Each holds ``CHECKS = {1: function, 2: function}``; a function takes the student's answer and returns ""
if it is right, else one sentence that says what is wrong. ``covidseg.lesson.check`` calls it.
"""
