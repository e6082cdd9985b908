"""Conversations on disk.

Reading order: `store`, `schema`, `rows`, `database`, `checks`, `files`, `failures`, `attachment_store`.
"""
