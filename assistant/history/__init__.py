"""Conversations on disk. Reading order: `store`, `schema`, `database`, `attachment_store`."""
