"""The built-in scorers that ask a judge, with the ids, answers and formulas of the original."""
