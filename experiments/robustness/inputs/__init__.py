"""Hostile and clumsy inputs, what the product does with each, and the page that says so."""
