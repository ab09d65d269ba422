# SPDX-License-Identifier: GPL-2.0-or-later
"""The schema compiler: reads qapi/*.json, writes C types and tables."""
