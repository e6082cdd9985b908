"""Ears and mouth: hearing, turn-taking and speaking."""
