"""Commands about models: trained, measured, published."""
