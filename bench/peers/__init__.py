"""The same rows with comparable libraries, in an environment of their own."""
