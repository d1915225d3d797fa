"""Web pages and the API."""
