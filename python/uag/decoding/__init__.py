"""One generation: the loop, verification, stopping, and what comes out."""
