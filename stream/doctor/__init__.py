"""`tidecast doctor`: what the roles need, looked at one by one."""
