"""The commands of `tidecast`, one module a topic; `stream.cli` puts them together."""
