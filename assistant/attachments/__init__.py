"""Images that users attach.

Reading order: `images`, `pixels`, `file_types`; `typed_text`, `paths_in_text`, `quoted_text`, `rewording`,
`file_lookup`; `url_fetch`.
"""
