"""Mutation testing of the rooms on which safety rests: small faults put into them, and which tests notice.

python -m mutants --rooms boundary,guardian
"""
