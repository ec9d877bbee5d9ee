# SPDX-License-Identifier: Apache-2.0
"""The chain of commands that trains resnet50 on a GPU without network: see README.md here."""
