"""Routes of the page by topic: a file each, with a `router`."""
