"""A folder for `sys.path`: it holds only the modules that user code may import by their own names.

`agents/code/_user_code.py` appends it, so an installed package of the same name wins.
"""
