"""The tracker: reshare events in, snapshots and outcomes of cascades out."""
