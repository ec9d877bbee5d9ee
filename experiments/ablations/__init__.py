# SPDX-License-Identifier: Apache-2.0
"""What might improve the codec or its stop rule, one thing at a time, judged on validation images alone."""
