"""The Model board: one page, one JSON, and the files that the page needs."""
