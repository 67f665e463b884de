"""Protocols, and the fair row any method gets in them."""
