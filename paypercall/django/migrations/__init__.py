"""The migrations of the app: they run those of the books, so that there is one schema."""
