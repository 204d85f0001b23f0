"""What is worth a place in the target's pass: looked-up ids, candidates of a tree."""
