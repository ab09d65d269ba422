# SPDX-License-Identifier: GPL-2.0-or-later
"""End-to-end tests of an emulator with a real Linux guest."""
