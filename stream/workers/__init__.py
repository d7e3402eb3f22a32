"""The two kinds of worker: ingest roles on aiokafka, model roles on Faust."""
