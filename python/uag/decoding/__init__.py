"""One generation: the decoding loop, verification, stopping, output and trace."""
