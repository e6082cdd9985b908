"""Conversations on disk.

Reading order: `store`, `schema`, `rows`, `database`, `checks`, `set_aside`, `failures`, `attachment_store`.
"""
