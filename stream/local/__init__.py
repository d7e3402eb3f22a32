"""Everything on one machine, and what it shows in the terminal."""
