# SPDX-License-Identifier: GPL-2.0-or-later
"""The parts of tests/bench/bench: what to run, what it means, how it looks."""
