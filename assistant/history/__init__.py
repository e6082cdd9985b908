"""Conversations on disk: read `store`, then `database`, then `attachment_store`."""
