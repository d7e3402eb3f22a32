"""The forecasters: what each is, and how it is trained."""
