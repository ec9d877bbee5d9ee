# SPDX-License-Identifier: Apache-2.0
"""One folder a role, each an application factory; what all roles share stands beside them."""
