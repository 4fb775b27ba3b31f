"""Families of networks: in one file each a description, the architecture, names in other files.

A file defines ``SPECS``; for networks of timm ("timm:name" as builder) that is all. For others it
has the functions that they name as builder; optionally ``rename`` (names in published files to
ours) and ``sizes`` (sizes that a file decides). torch comes from ``rsa_faces.networks._late``.
"""
