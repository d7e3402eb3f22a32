"""State beyond a worker's life: written as it goes, and read again."""
