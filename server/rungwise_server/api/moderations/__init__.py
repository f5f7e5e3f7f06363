"""Moderations, passed on to who has them."""
