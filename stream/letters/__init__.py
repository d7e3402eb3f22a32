"""Dead letters: read, told by their cause, and sent back."""
