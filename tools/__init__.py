"""Tools of the reference app."""
