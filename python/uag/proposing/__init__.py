"""Candidates for the texts of another engine, which runs the target itself."""
